"""``python -m roofline``."""

from roofline.cli.start import main

if __name__ == "__main__":
    main()

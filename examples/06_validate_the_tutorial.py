"""The tutorial's encoder on this CPU: calibrated, predicted, timed, compared. Under two minutes; needs torch.

As published the encoder does not run: its linear layers lack their second size, and its attention takes the sequence
first while the data has the batch first. roofline/validation/tutorial.py mends these two and nothing else.
"""

import sys
import tempfile
from pathlib import Path

from roofline.cli.app import main
from roofline.validation.environment import restart_with

SECONDS = sys.argv[1] if len(sys.argv) > 1 else "45"  # for the calibration, and as many for the validation


def run(*arguments: str) -> None:
    """One command of the command line; its exit code 5 says that the machine was too busy to be trusted."""
    sys.argv = ["roofline", *arguments]
    print(f"\n$ roofline {' '.join(arguments)}", flush=True)
    try:
        main()
    except SystemExit as leaving:
        if leaving.code not in (0, 5):
            raise


if __name__ == "__main__":
    restart_with(1, __file__, *sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        mine = str(Path(folder) / "this-cpu.yaml")
        run("calibrate", "--device", "cpu", "--threads", "1", "--budget", f"{SECONDS}s", "-o", mine)
        asked = ("bert-tutorial", "--hardware", mine, "--dtype", "fp32", "--batch", "2", "--prompt", "48")
        run("validate", *asked, "--device", "cpu", "--threads", "1", "--budget", f"{SECONDS}s")

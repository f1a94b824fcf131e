"""What one run of a torch module left behind, as data that needs no torch: read, written, stated as a program."""

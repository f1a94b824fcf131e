"""The command line: flags read, answers printed, errors told."""

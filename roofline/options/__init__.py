"""Flags, stated once: the command line, the keywords of Python, and the lists of inputs read these definitions."""

"""The tape: an evaluation recorded once, in letters, and played back as numpy, as plain Python, as JavaScript."""

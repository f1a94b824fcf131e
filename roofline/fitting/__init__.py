"""Calibration of devices: kernels timed by design, constants fitted to them, errors on what was left out."""

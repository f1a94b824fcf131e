"""Towers of networks that see: one file each, which maps its fields onto the shape and how images become tokens."""

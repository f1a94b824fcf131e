"""Towers of sound: one file each."""

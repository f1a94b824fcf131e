"""The charts, a file each."""

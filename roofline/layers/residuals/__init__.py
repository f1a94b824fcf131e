"""Residual connections of other forms than one sum: one file each."""

"""Analytical performance model of transformers."""

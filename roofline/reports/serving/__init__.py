"""Serving as people read it: comparisons, sizings, pools, simulations."""

"""Tensor, sequence, data, expert, context and pipeline parallelism: the axes that are split, and their collectives."""

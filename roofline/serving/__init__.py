"""Continuous batching, chunked prefill and disaggregated serving: what a replica does at every batch."""

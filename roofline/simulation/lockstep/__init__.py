"""Schedulers that step together: data-parallel ranks that share experts."""

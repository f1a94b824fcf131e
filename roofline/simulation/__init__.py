"""Serving simulated request by request: arrivals, an engine's scheduler, its paged cache, percentiles of what is waited."""

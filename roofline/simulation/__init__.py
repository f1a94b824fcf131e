"""Serving simulated request by request: arrivals, an engine's scheduler and paged cache, percentiles."""

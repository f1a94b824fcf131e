"""Engines as data: what runs a model, how it merges, launches and stores, by version and date. Plain records."""

"""Pools that share the work of a request: what encodes images and sound beside replicas."""

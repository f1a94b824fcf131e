"""Pools of devices that do a part of each request alone: what encodes images and sound."""

"""Towers of Qwen-VL: one file each, and what they share."""

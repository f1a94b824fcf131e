"""Caches of prompts that lie below the devices' memory, in answers of means."""

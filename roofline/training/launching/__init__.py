"""Configurations of what trains, torchtitan's and Megatron-LM's: written of an answer, read into a question."""

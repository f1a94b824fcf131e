"""Attention to some of the tokens, or to what was made of them: one file each."""

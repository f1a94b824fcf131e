"""The search of layouts: every admissible one as rows of arrays, timed and fitted into memory together."""

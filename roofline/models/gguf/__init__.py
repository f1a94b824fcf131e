"""GGUF files: a network's fields and the types of its tensors, as llama.cpp and its kin store them."""

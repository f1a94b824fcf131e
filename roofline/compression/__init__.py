"""What is stored in fewer bytes: precision recipes, quantisation, pruning, sparsity."""

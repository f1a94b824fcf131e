"""What any torch module costs: one run without weights or data, every operator of torch as a statement of ours."""

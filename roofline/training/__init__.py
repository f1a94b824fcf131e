"""Training: what rests on devices, what a step takes, which layout, microbatch and recompute policy are best."""

"""What profilers write, kernel by kernel, and the rules that join kernels to operators."""

"""What a program costs, operator by operator: FLOPs, bytes, parameters, KV cache, memory. No hardware."""

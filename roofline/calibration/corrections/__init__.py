"""What kernels cost beyond peak, bandwidth and latency: one class for each correction, one list of them, `registry`."""

"""What servers were measured at, by the tools that load them, beside the same requests simulated."""

"""What requests ask for: their lengths, how they arrive, sessions and traces."""

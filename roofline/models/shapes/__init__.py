"""The shapes that networks have, each with its configuration and its program: decoders, encoders, state spaces."""

"""Generators of images and videos: text encoders, denoising steps of a transformer and a decoder, as one network."""

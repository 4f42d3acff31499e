"""Pretext tasks: what is made of a batch of images."""

"""Pretext tasks: they turn a batch of images into views and targets."""

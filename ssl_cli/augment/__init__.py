"""Batched augmentation on the device of the images."""

"""Data sets: the sources of images, their splits, and the labels that methods may see."""

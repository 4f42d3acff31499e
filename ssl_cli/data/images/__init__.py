"""Image data sets: where images come from, and what they become."""

"""Image data sets: the sources of images, and their stored form."""

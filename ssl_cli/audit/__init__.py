"""What is wrong with a data set: copies, leaks, blank and odd images, small classes, labels that do not fit."""

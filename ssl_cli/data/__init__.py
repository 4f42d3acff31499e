"""Data sets: the sources of inputs, their splits, and the labels that methods may see."""

"""Weights that somebody else has trained: where they are, what is in the file, and how they come into a network."""

"""ssl: train a representation with one command, measure it honestly with another."""

__version__ = "0.1.0"

"""Networks that take texts as integers."""

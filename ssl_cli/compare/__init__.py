"""Runs beside each other: what is read, what is one line, which differences are larger than noise."""

"""Metrics, their intervals, and which of them may be compared."""

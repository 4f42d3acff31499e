"""Networks that take clips."""

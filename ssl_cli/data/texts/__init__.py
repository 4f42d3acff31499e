"""Text data sets: where texts come from, and what they become."""

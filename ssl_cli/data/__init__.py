"""Data sets: where images come from, which are for what, and which labels may be seen."""

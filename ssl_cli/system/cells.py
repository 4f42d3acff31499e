"""Cells of CSV files of any length: Python's reader refuses those of more than 131,072 characters."""

import csv

LONGEST = 2**31 - 1  # what fits everywhere: a C long has 32 bits on Windows


def allow_long_cells() -> None:
    """Let every reader of this process take a text, or the names of thousands of files, as one cell."""
    csv.field_size_limit(LONGEST)

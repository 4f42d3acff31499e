"""Tools that show runs, beside ``metrics.jsonl``: each is imported only if it is chosen."""

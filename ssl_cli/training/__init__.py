"""The training loop, and what it saves, watches and writes."""

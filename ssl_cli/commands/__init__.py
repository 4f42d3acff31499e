"""Commands: one file each; what it composes and calls."""

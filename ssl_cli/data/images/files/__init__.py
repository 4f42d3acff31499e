"""Image files of a user: found, decoded once, kept."""

"""The user's image files: find them, decode them once, keep the result."""

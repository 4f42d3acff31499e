"""A comparison as text: for the terminal, and as csv, Markdown, HTML and JSON."""

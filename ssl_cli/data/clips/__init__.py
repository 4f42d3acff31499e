"""Clips of video: what is stored of them, and what a model must know of them."""

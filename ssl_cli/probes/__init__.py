"""Downstream tasks on frozen features."""

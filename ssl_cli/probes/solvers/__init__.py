"""Solvers and small classifiers that fit a probe."""

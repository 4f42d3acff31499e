"""What fits a probe: solvers and small classifiers."""

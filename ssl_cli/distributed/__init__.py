"""Several processes that learn as one."""

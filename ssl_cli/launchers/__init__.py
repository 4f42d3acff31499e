"""Where the jobs of a sweep run when it is not one after another in this process."""

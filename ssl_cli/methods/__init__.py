"""Methods: one file each, the loss first, then the class."""

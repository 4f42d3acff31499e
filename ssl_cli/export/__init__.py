"""A trained model for whoever has no ssl: a directory of plain files, or an object of Python."""

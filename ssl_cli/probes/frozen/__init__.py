"""A frozen network and the features that it gives."""

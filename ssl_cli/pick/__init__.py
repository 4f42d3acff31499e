"""What to label next: of the train images without a label, those whose label is worth most."""

"""What to label next: of the train inputs without a label, those whose label is worth most."""

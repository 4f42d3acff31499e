"""From a config, or a checkpoint, to the parts of a run."""

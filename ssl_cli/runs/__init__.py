"""What is on disk: run directories, checkpoints, locks."""

"""From YAML and the command line to one checked config, and from a node of it to an object. Imports no torch."""

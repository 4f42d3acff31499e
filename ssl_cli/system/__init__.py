"""The machine: files, processors, memory, devices, signals, the terminal."""

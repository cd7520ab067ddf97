"""The border of the process: standard streams, signals, the host's life and death."""

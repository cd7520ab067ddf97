"""One recording: its parts, the host it serves, and how it ends."""

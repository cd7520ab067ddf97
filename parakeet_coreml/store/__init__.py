"""Model files: where they are stored, whether they are whole, and how they get there."""

"""Model files: where they lie, whether they are whole, and how they get there."""

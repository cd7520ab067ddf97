"""Core ML programs without a Mac: a package is read and evaluated in NumPy."""

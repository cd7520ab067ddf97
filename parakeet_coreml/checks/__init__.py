"""Whether a recording would work, and what a model costs."""

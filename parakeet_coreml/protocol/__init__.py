"""What a host or a person reads: the types of line, their bytes, their schema."""

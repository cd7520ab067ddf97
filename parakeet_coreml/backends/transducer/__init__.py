"""What every backend shares: the features, the search, the vocabulary."""

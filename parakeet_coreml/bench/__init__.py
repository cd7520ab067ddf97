"""Compare backends over many recordings, and draw what a host kept of them."""

"""16 kHz audio in, lines of words out."""

"""One window of audio to a hypothesis, on each runtime."""

"""Sound from a microphone, a file or a pipe to 16 kHz mono."""

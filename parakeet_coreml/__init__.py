"""Dictation engine: microphone to Parakeet TDT to JSON lines."""

__version__ = "0.1.0"

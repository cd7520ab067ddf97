"""Dictation engine: microphone to Parakeet TDT to JSON lines."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Bring what `__init__.pyi` declares when it is asked for: no start is slower for it."""
    if name in {"Dictation", "DictationError", "Event", "dictate"}:
        from importlib import import_module  # noqa: PLC0415  the recorder does without

        return getattr(import_module("parakeet_coreml.dictation"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

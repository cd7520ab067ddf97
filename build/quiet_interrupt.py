"""Run before everything else in the frozen program: Ctrl-C ends it and prints no traceback.

`__main__` says the same, but PyInstaller's own start comes first, several milliseconds of it.
"""

# Not `signal`: that one loads enum, which --version does without.
import _signal  # type: ignore[import-not-found]  # typeshed leaves the inner module out

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)

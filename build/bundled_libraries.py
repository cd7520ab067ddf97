"""Run first in the frozen program: whoever looks for a library finds the one in the bundle.

And from here on Ctrl-C ends it without a traceback, as `__main__` would say only later.

sounddevice asks `ctypes.util`, which asks ldconfig, gcc and ld, or Homebrew's folders on a Mac.
They know nothing of the bundle, so PortAudio would be missed, or another one taken; and the module
takes 9 ms to load and to answer.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves the inner module out
import os
import sys

FOLDER: str = sys._MEIPASS  # type: ignore[attr-defined]  # noqa: SLF001  PyInstaller's own way
PORTAUDIO = ("libportaudio.so.2", "_sounddevice_data/portaudio-binaries/libportaudio.dylib")


def find_library(name: str) -> str | None:
    """Return the path of a library in the bundle; None if it has none of that name."""
    if name != "portaudio":
        return None
    # Not pathlib: this runs at every start.
    paths = (os.path.join(FOLDER, path) for path in PORTAUDIO)  # noqa: PTH118  see above
    return next(filter(os.path.exists, paths), None)


# Not `signal`: that one loads enum, which --version does without.
_signal.signal(_signal.SIGINT, _signal.SIG_DFL)

util = type(sys)("ctypes.util")
vars(util)["find_library"] = find_library
sys.modules["ctypes.util"] = util

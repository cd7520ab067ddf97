"""Run first in the frozen program: whoever looks for a library finds the one in the bundle.

sounddevice asks `ctypes.util`, which asks ldconfig, gcc and ld, or Homebrew's folders on a Mac.
They know nothing of the bundle, so PortAudio would be missed, or another one taken; and the module
takes 9 ms to load and to answer.
"""

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


util = type(sys)("ctypes.util")
vars(util)["find_library"] = find_library
sys.modules["ctypes.util"] = util

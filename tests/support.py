"""What several test folders share."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LINUX_TOOLS = (
    *("pulseaudio", "pactl", "pacat", "strace", "unshare", "setsid", "setpriv", "prlimit"),
    *("timeout", "stdbuf", "flock", "ldd", "debootstrap"),
)
"""Programs that a Mac does not have."""

LINUX_PLACES = ("/proc", "/dev/shm")  # noqa: S108  named to be hidden

HOW = {
    "PulseAudio": "pulseaudio pulseaudio-utils libasound2-plugins",
    "PortAudio": "libportaudio2",
    "JACK behind PortAudio": "libportaudio2",
    "Node": "nodejs",
    "node": "nodejs",
    "npm": "npm",
    "the TypeScript compiler": "node-typescript",
    "Chromium": "chromium-headless-shell",
    "jq": "jq",
    "bash": "bash",
    "zsh": "zsh",
    "fish": "fish",
    "python3": "python3",
    "strace": "strace",
    "groff": "groff-base",
    "man": "man-db",
    "shellcheck": "shellcheck",
    "paplay": "pulseaudio-utils",
    "flite": "flite",
    "sha256sum": "coreutils",
}
"""Debian packages by the part they bring, for people whose tests are left out."""

EXTRA = {"mlx": "mlx", "numba": "mlx", "SciPy": "mlx", "pyte": "dev"}
"""Extras of ours, likewise: `pip install -e '.[mlx]'`."""


def requires(part: str, *, present: bool) -> None:
    """Skip the test, and say why, where a part of the system is absent.

    With PARAKEET_REQUIRE_ALL=1, as on the machine that decides, the test fails instead.
    """
    if present:
        return
    if os.environ.get("PARAKEET_REQUIRE_ALL") == "1":
        pytest.fail(f"{part} is absent, and PARAKEET_REQUIRE_ALL=1 asks for it")
    how = f"; on Debian: apt install {HOW[part]}" if part in HOW else ""
    how = f"; pip install -e '.[{EXTRA[part]}]'" if part in EXTRA else how
    pytest.skip(f"{part} is absent{how}")


def hide_linux() -> None:
    """Take away what only Linux has, as far as that can be done on it: the tests pass or skip.

    PARAKEET_AS_MAC=1 asks for it. psutil reads /proc by other means and goes on working, as it does
    on a Mac by its own.
    """
    for name in ("F_SETPIPE_SZ", "F_GETPIPE_SZ"):
        if hasattr(fcntl, name):
            delattr(fcntl, name)
    tools = Path(tempfile.mkdtemp(prefix="as-mac-"))
    atexit.register(shutil.rmtree, tools, ignore_errors=True)
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for tool in sorted(folder.glob("*")):
            if tool.name not in LINUX_TOOLS and not (tools / tool.name).is_symlink():
                (tools / tool.name).symlink_to(tool)
    os.environ["PATH"] = str(tools)
    for name in ("stat", "open", "iterdir", "readlink"):
        setattr(Path, name, _blind(getattr(Path, name)))


def _blind(real: Callable[..., Any]) -> Callable[..., Any]:
    def looked(path: Path, *arguments: Any, **settings: Any) -> Any:
        if str(path).startswith(LINUX_PLACES):
            raise FileNotFoundError(2, "hidden", str(path))
        return real(path, *arguments, **settings)

    return looked

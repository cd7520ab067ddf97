"""What several test folders share."""

import os

import pytest

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

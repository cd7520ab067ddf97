"""Arguments that name what must be there: one line instead of a traceback."""

from __future__ import annotations

import argparse
from pathlib import Path


def present(argument: str) -> Path:
    """Take the path of a file or folder that is there, as argparse's `type`.

    Raises argparse.ArgumentTypeError, which argparse says in a line, with exit code 2.
    """
    path = Path(argument)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {path}")
    return path

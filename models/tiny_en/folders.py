"""Where the recipe keeps what it makes."""

from pathlib import Path

WORK = Path("/var/tmp/tiny-en")  # noqa: S108  gigabytes, easily made again
"""Default of `--work`: packs, pieces, runs."""

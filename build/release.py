"""Check that tag, version and changelog agree, and print the notes of the release.

    python build/release.py [vX.Y.Z]

Without a tag the version of the package is taken for it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the changelog's section of this version; exit code 1 and a line if there is none."""
    version = version_of((ROOT / "parakeet_coreml" / "__init__.py").read_text(encoding="utf-8"))
    tag = sys.argv[1] if len(sys.argv) > 1 else f"v{version}"
    if tag != f"v{version}":
        sys.exit(f"Error: the tag is {tag}, the version is {version}")
    print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version))


def version_of(source: str) -> str:
    """Return the version that a package's source states."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    return str(version)


def notes(changelog: str, version: str) -> str:
    """Return what the changelog says of a version, with its date; exits where it says nothing."""
    head = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(head + r"\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        sys.exit(f"Error: CHANGELOG.md has no dated section [{version}]")
    return found[1].strip()


if __name__ == "__main__":
    main()

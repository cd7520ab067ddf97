"""Choose the people's recordings that ship for measuring: tests/data/people."""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
from collections import defaultdict
from pathlib import Path

from models.present import present
from models.tiny_en.people import LONGEST, Row, apart, kind, manifest

LICENCES = {
    "common_voice": "CC0 (Mozilla Common Voice 6.1)",
    "speech_commands": "CC BY 4.0 (Google, Speech Commands v0.02 and v0.01)",
    "speechocean762": "Apache-2.0 (speechocean762)",
}
"""What ships, and under which terms. Only sets that are parted by speaker: in the others somebody
who is set apart in one recording may have been trained on in another."""
MOST = {"command": 160, "digits": 40, "sentence": 120, "open": 40, "word": 40}
"""Recordings of each kind at most."""
COLUMNS = ("path", "text", "kind", "speaker", "source", "licence")
OUT = Path("tests/data/people")


def main() -> None:
    """Copy the recordings, unchanged, and write their manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=present, help="folder with manifest.tsv and recordings")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    for old in options.out.glob("*/*.opus"):
        old.unlink()
    rows = chosen(manifest(options.people))
    for row in rows:
        path = options.out / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.people / row["path"], path)
        path.chmod(0o644)
    with (options.out / "manifest.tsv").open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(_described(row) for row in rows)
    size = sum((options.out / row["path"]).stat().st_size for row in rows)
    print(f"{len(rows)} recordings, {size / 1e6:.2f} MB")


def chosen(rows: list[Row]) -> list[Row]:
    """Return the recordings of speakers set apart, at most `MOST` of a kind, every speaker in turn.

    The order is that of a hash of the path: the same from the same recordings, whoever runs it.
    """
    kinds: dict[str, list[tuple[int, str, Row]]] = defaultdict(list)
    turns: dict[tuple[str, str], int] = defaultdict(int)
    for row in sorted(rows, key=lambda row: _mixed(row["path"])):
        if row["set"] in LICENCES and apart(row) and float(row["seconds"]) <= LONGEST:
            turn = (kind(row), row["speaker"])
            kinds[kind(row)].append((turns[turn], _mixed(row["path"]), row))
            turns[turn] += 1
    picked = [row for name, some in kinds.items() for *_, row in sorted(some)[: MOST[name]]]
    return sorted(picked, key=lambda row: row["path"])


def _mixed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _described(row: Row) -> tuple[str, ...]:
    source = row["set"]
    return row["path"], row["transcript"], kind(row), row["speaker"], source, LICENCES[source]


if __name__ == "__main__":
    main()

"""Turn recordings of people into packs, parted by speaker into training and validation."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import soundfile

from models.present import present
from models.tiny_en.folders import WORK

RATE = 16_000
PARTS = 10
"""One speaker of so many is set apart."""
BY_RECORDING = frozenset(
    {
        "asterisk_prompts",
        "gcompris_words",
        "hymel_custom",
        "ljspeech",
        "picovoice_barista",
        "picovoice_wakeword",
        "precise_community",
    }
)
"""Sets of one to five speakers, or of unnamed ones: here recordings are set apart."""
COMMANDS = frozenset(["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"])
"""The ten commands of Speech Commands."""
DIGITS = frozenset(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
LONGEST = 15.0
"""Seconds of a window."""
Row = dict[str, str]


def main() -> None:
    """Write the packs `p-SET` to train on, `v-SET` to validate with, and the noises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument(
        "--people", type=present, required=True, help="folder with manifest.tsv, recordings, noise"
    )
    options = parser.parse_args()
    folder = options.work / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[Row]] = {}
    for row in manifest(options.people):
        if float(row["seconds"]) <= LONGEST:
            parts.setdefault(pack(row), []).append(row)
    for name, rows in sorted(parts.items()):
        write_pack(folder / name, options.people, rows)
    noises = [heard(path) for path in sorted((options.people / "noise").glob("*.opus"))]
    np.save(options.work / "noises.npy", np.concatenate(noises))


def manifest(people: Path) -> list[Row]:
    """Read what is said in which file by whom."""
    with (people / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def apart(row: Row) -> bool:
    """Say whether a recording is for validation: all of a speaker's are, or none."""
    key = row["path"] if row["set"] in BY_RECORDING else row["speaker"]
    return hashlib.sha256(key.encode()).digest()[0] % PARTS == 0


def pack(row: Row) -> str:
    """Name the pack of a recording; few digits are among many commands, so a schedule weighs them.

    Those to validate with stay together: what is measured keeps its names.
    """
    if apart(row):
        return f"v-{row['set']}"
    rare = row["set"] == "speech_commands" and kind(row) == "digits"
    return f"p-{row['set']}{'_digits' if rare else ''}"


def kind(row: Row) -> str:
    """Name the kind of speech."""
    words = row["transcript"].split()
    if set(words) <= DIGITS:
        return "digits"
    if len(words) == 1 and words[0] in COMMANDS:
        return "command"
    if row["set"] in {"speechocean762", "asterisk_prompts"}:
        return "sentence"
    if row["set"] == "picovoice_barista":
        return "order"
    if row["set"] in {"common_voice", "ljspeech"}:
        return "open"
    return "spelling" if row["set"] == "an4" else "word"


def heard(path: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Read a recording; all are at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != RATE:
        message = f"{path}: {rate} Hz"
        raise ValueError(message)
    return np.asarray(samples, np.float32)


def write_pack(path: Path, people: Path, rows: list[Row]) -> None:
    """Write one pack; the index is written last, so a pack without one is unfinished."""
    lines, start = [], 0
    with path.with_suffix(".pcm").open("wb") as pcm:
        for row in rows:
            samples = heard(people / row["path"])
            pcm.write((samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())
            entry = {"text": row["transcript"], "voice": row["speaker"], "kind": kind(row)}
            entry |= {"path": row["path"]}
            lines.append(json.dumps(entry | {"start": start, "length": len(samples)}))
            start += len(samples)
    path.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
    print(f"{path.name}: {len(lines)} recordings, {start / RATE / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()

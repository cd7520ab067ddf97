"""A folder of recordings with their words: a TSV or JSONL file, and the sound beside it.

A row with `offset` and `duration`, in seconds and as NeMo's lists have them, is that stretch of a
file.
"""

import csv
import json
import math
import random
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

import parakeet_coreml
from parakeet_coreml.audio.file import FileSource
from parakeet_coreml.audio.resample import Counts, to_16k
from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.errors import UsageError

BUNDLED = Path(parakeet_coreml.__file__).parent / "samples"
"""What is measured where no folder is given: the sample's twelve sentences, each by itself."""

LISTS = ("manifest.tsv", "words.tsv", "manifest.jsonl", "words.jsonl")
"""Names of the file with the words that are taken before others."""

PATHS = ("path", "audio_filepath", "audio", "file")
WORDS = ("text", "transcript", "words", "sentence")
"""Names of the columns, the first that is there."""

Stretch = tuple[float, float]
"""Where in a file a recording begins, and how long it is, in seconds."""

Row = tuple[str, str, Stretch | None]
"""A sound file, its words, and the stretch where it is not the whole file."""

FOREIGN = 0.02
"""Letters outside a to z that English text may have, as a share: café, naïve."""

HINT = (
    "a data folder holds sound files and a TSV (columns path, text) or JSONL (keys path, text) file"
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of the data, and what is said in it."""

    name: str
    """As the list has it; unique."""
    path: Path
    text: str
    seconds: float
    offset: float | None = None
    """Where it begins in the file, in seconds, if it is a stretch of one."""

    def audio(self) -> Samples:
        """Return its sound, shape (n,), mono at 16 kHz. Raises `UsageError`."""
        source = FileSource(self.path, realtime=False, warn=lambda *_: None)
        try:
            whole = np.concatenate([*to_16k(source.blocks(), source.rate, counts=Counts())])
        finally:
            source.close()
        if self.offset is None:
            return whole
        begin = round(self.offset * SAMPLE_RATE)
        return whole[begin : begin + round(self.seconds * SAMPLE_RATE)]


def read(folder: Path, *, limit: int | None, seed: int, english: bool) -> list[Utterance]:
    """Return the recordings of a folder, or `limit` of them drawn by `seed`, in the list's order.

    Raises `UsageError`, in one line, for whatever is wrong with it.
    """
    path = _list_in(folder)
    rows = list(_rows(path))
    if not rows:
        raise UsageError(f"'{path}' lists no recording", HINT)
    _check(rows, path, english=english)
    if limit is not None and limit < len(rows):
        chosen = sorted(random.Random(seed).sample(range(len(rows)), limit))  # noqa: S311  a draw
        rows = [rows[i] for i in chosen]
    return [_opened(folder, row, path) for row in rows]


def _list_in(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"'{folder}' is no folder", HINT)
    named = [folder / name for name in LISTS if (folder / name).is_file()]
    found = named or sorted(chain(folder.glob("*.tsv"), folder.glob("*.jsonl")))
    if not found:
        raise UsageError(f"no TSV or JSONL file with the words is in '{folder}'", HINT)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(f"'{folder}' holds several lists: {names}", "leave one of them there")
    return found[0]


def _rows(path: Path) -> Iterator[Row]:
    """Yield the sound file and the words of each row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is not UTF-8", HINT) from error
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from error
    lines = text.splitlines()
    yield from _objects(lines, path) if path.suffix == ".jsonl" else _table(lines, path)


def _objects(lines: Iterable[str], path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise UsageError(f"'{path}', line {number}: no JSON object", HINT)
        yield _named(fields, path, number)


def _table(lines: list[str], path: Path) -> Iterator[Row]:
    rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    headed = bool(set(header) & set(PATHS)) and bool(set(header) & set(WORDS))
    for number, row in enumerate(rows[1:] if headed else rows, start=2 if headed else 1):
        if any(cell.strip() for cell in row):
            keys = header if headed else ["path", "text"]
            yield _named(dict(zip(keys, row, strict=False)), path, number)


def _named(fields: dict[str, object], path: Path, number: int) -> Row:
    name = next((fields[key] for key in PATHS if key in fields), None)
    text = next((fields[key] for key in WORDS if key in fields), None)
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"'{path}', line {number}: names no sound file", HINT)
    if not isinstance(text, str) or not any(map(str.isalnum, text)):
        raise UsageError(f"'{path}', line {number}: no words for '{name}'", HINT)
    return name.strip(), text.strip(), _stretch(fields, path, number)


def _stretch(fields: dict[str, object], path: Path, number: int) -> Stretch | None:
    """Return the stretch of a row; NeMo's lists may state a duration alone, of the whole file."""
    if fields.get("offset") in {None, ""}:
        return None
    try:
        offset, seconds = (float(str(fields.get(key))) for key in ("offset", "duration"))
    except ValueError:
        offset = seconds = math.nan
    if not (0 <= offset < math.inf and 0 < seconds < math.inf):
        raise UsageError(f"'{path}', line {number}: no offset and duration in seconds", HINT)
    return offset, seconds


def _called(row: Row) -> str:
    """Return the name of a recording."""
    name, _, stretch = row
    return name if stretch is None else f"{name} at {stretch[0]:g} s"


def _check(rows: list[Row], path: Path, *, english: bool) -> None:
    """Refuse names that come twice, and words that the normaliser would spoil."""
    seen: set[str] = set()
    for row in rows:
        name, text = _called(row), row[1]
        if name in seen:
            raise UsageError(f"'{path}' lists '{name}' twice", "each recording has one name")
        seen.add(name)
        if english and (letter := _not_latin(text)):
            raise _not_english(f"'{letter}' in the words of '{name}' is no English letter")
    letters = [char for _, text, _ in rows for char in text if char.isalpha()]
    foreign = sum(not char.isascii() for char in letters)
    if english and foreign > FOREIGN * len(letters):
        raise _not_english(
            f"{foreign / len(letters):.0%} of the letters in '{path}' are no English"
        )


def _not_latin(text: str) -> str:
    alphabetic = (char for char in text if char.isalpha())
    return next((c for c in alphabetic if not unicodedata.name(c, "").startswith("LATIN")), "")


def _not_english(message: str) -> UsageError:
    return UsageError(message, "--normaliser basic scores other languages")


def _opened(folder: Path, row: Row, listed: Path) -> Utterance:
    """Look at the sound of a row, which may be elsewhere. Raises `UsageError`."""
    name, text, stretch = row
    path = folder / name
    source = FileSource(path, realtime=False, warn=lambda *_: None)
    try:
        seconds = source.seconds
    finally:
        source.close()
    if seconds is None:  # a stream whose header names no length
        seconds = len(Utterance(name, path, text, 0.0).audio()) / SAMPLE_RATE
    if stretch is None:
        return Utterance(name, path, text, seconds)
    offset, length = stretch
    if offset + length > seconds + 0.01:
        raise UsageError(
            f"'{listed}': '{_called(row)}' reaches past its end, {seconds:.2f} s", HINT
        )
    return Utterance(_called(row), path, text, length, offset)

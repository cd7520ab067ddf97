"""Lists of terms: what `--vocabulary` and `--phrase` take.

    # a comment
    Kubernetes
    Lech Wałęsa<TAB>1.5
    kubectl = cube control

One term a line, behind a tab its weight; left of ` = ` what is written, right of it how the model
would transcribe it.
"""

import json
import unicodedata
from functools import lru_cache
from pathlib import Path

from parakeet_coreml.backends.base import Term
from parakeet_coreml.errors import UsageError
from parakeet_coreml.host import stdio

MAX_TERMS = 500
"""More make the search prefer something everywhere."""

MAX_LENGTH = 100
"""Characters of a term and its spelling."""

MAX_BYTES = 64 * 1024
"""Of a list. All its terms go to the worker with its options."""

MAX_WIRE = 100_000
"""Bytes of all terms, as JSON."""

MAX_WEIGHT = 10.0

HINT = "one term a line, as UTF-8 text: term, term<TAB>weight, or written form = as it sounds"


def terms_of(vocabulary: str | None, phrases: tuple[str, ...]) -> tuple[Term, ...]:
    """Return the terms of a list and of the command line, each once, the greatest weight counting.

    Raises `UsageError` if the list cannot be read or is none, or a term is none.
    """
    found: dict[tuple[str, str], Term] = {}
    listed = _read(vocabulary) if vocabulary is not None else ()
    given = tuple(_term(phrase, "--phrase") for phrase in phrases)
    for term in (*listed, *given):
        if term is None:
            raise UsageError("--phrase is empty")
        key = term.text, term.spoken
        if key not in found or found[key].weight < term.weight:
            found[key] = term
    if len(found) > MAX_TERMS:
        raise UsageError(f"{len(found)} terms are too many: at most {MAX_TERMS} are preferred")
    # They cross to the worker on its command line, of which the system takes 128 KiB in one piece.
    if sum(len(json.dumps([term.text, term.spoken])) + 80 for term in found.values()) > MAX_WIRE:
        raise UsageError("the terms are too long altogether", "leave out the longest")
    return tuple(found.values())


@lru_cache(maxsize=1)  # the file may be a pipe
def _read(path: str) -> tuple[Term, ...]:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--vocabulary: cannot read '{path}': {reason}") from error
    terms = _parsed(data, path)
    if not terms:
        stdio.say(f"Warning: '{path}' names no term")
    return terms


def _parsed(data: bytes, path: str) -> tuple[Term, ...]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"--vocabulary: '{path}' is UTF-16, not UTF-8", "save it as UTF-8")
    if len(data) > MAX_BYTES:
        raise UsageError(f"--vocabulary: '{path}' has more than {MAX_BYTES // 1024} KiB", HINT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"--vocabulary: '{path}' is no list of terms: line {line} is not UTF-8", HINT
        ) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = (
        _term(line, f"line {number}", f"--vocabulary: '{path}', line {number}")
        for number, line in enumerate(lines, start=1)
        if not line.lstrip().startswith("#")
    )
    return tuple(term for term in found if term is not None)


def _term(line: str, place: str, where: str = "--phrase") -> Term | None:
    """Return the term of a line, None of a blank one. Raises `UsageError`."""
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in line if c != "\t"):
        raise UsageError(f"{where} holds a control character", HINT)
    written, tab, weight = line.partition("\t")
    text, equals, spoken = written.partition(" = ")
    text, spoken = _spaced(text), _spaced(spoken)
    if not text and not spoken and not tab:
        return None
    if not text or (equals and not spoken):
        raise UsageError(f"{where} names no term", HINT)
    if len(text) > MAX_LENGTH or len(spoken) > MAX_LENGTH:
        length = max(len(text), len(spoken))
        raise UsageError(f"{where} has a term of {length} characters, more than {MAX_LENGTH}", HINT)
    return Term(text, spoken, _weight(weight.strip(), where) if tab else 1.0, place)


def _spaced(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _weight(text: str, where: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= MAX_WEIGHT:  # false for NaN
        raise UsageError(
            f"{where} has the weight '{text[:20]}', not one up to {MAX_WEIGHT:g}", HINT
        )
    return weight

"""What the recorder and the worker agree on: the framing, and JSON from and to values.

    request: seq, samples, audio   ──▶   fd 0 of the worker
    answer: length, JSON           ◀──   a private copy of its fd 1

The first answer is `{"ready": {…}}` or `{"failed": {…}}`, then one for each request, in order:
`{"seq": 1, "tokens": [[id, piece, start, duration, probability], …]}`, with `"work": [features,
encoder, search, predictor, joint]` where the backend measures that, or `{"seq": 1, "error": {…}}`.
Anything else is a `BrokenError`.
"""

import json
import math
import signal
import struct
from collections.abc import Mapping
from itertools import pairwise

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE
from parakeet_coreml.backends.base import WORK, BackendInfo, Hypothesis, Token, Work
from parakeet_coreml.errors import ParakeetError

REQUEST = struct.Struct("<II")
"""Sequence number and sample count of the audio that follows."""

LENGTH = struct.Struct("<I")
"""Bytes of the JSON that follows."""

MAX_ANSWER = 1 << 20
"""Longest answer believed, in bytes; a full window's tokens take some 10 kB."""

MAX_OVERHANG = SAMPLE_RATE
"""Samples a token may reach past its window: its duration is the model's unchecked guess."""

MOST_TOKENS = 10
"""Tokens a frame may have: the search gives up on it then."""

LONGEST_PIECE = 256
"""Characters a vocabulary entry may have; real ones have a dozen."""

SHIELDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that reach the whole process group but are the recorder's to act on."""

ERRORS = {error.name: error for error in ParakeetError.__subclasses__()}
"""The error classes by the names that cross the pipe."""


class BrokenError(Exception):
    """A process is of no more use; the message says why, in one line."""


def object_from(text: bytes) -> dict[str, object]:
    """Return an answer's JSON object. Raises `BrokenError`."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BrokenError("the worker gave an answer that is not a JSON object")
    return answer


def hypothesis_from(answer: Mapping[str, object], *, seq: int, samples: int) -> Hypothesis:
    """Return what was decoded in the window of `seq`. Raises `BrokenError`, for an error too."""
    if answer.get("seq") != seq:
        raise BrokenError("the worker answered something that was not asked")
    if "error" in answer:
        raise BrokenError(error_from(answer["error"]).message)
    tokens = answer.get("tokens")
    if not isinstance(tokens, list):
        raise BrokenError("the worker gave an answer without tokens")
    if len(tokens) > MOST_TOKENS * (samples // FRAME + 1):
        raise BrokenError(f"the worker heard {len(tokens)} tokens in {samples / SAMPLE_RATE:.1f} s")
    heard = tuple(_token_from(token, samples) for token in tokens)
    if any(later.start < earlier.start for earlier, later in pairwise(heard)):
        raise BrokenError("the worker gave tokens that are not in the order of time")
    return Hypothesis(heard, _work_from(answer.get("work")))


def _work_from(fields: object) -> Work | None:
    if fields is None:
        return None
    match fields:
        case [
            (float() | int() | None) as features,
            (float() | int() | None) as encoder,
            (float() | int() | None) as search,
            (int() | None) as predictor,
            (int() | None) as joint,
        ]:
            figures = (features, encoder, search, predictor, joint)
            if all(figure is None or 0 <= figure < math.inf for figure in figures):
                return Work(features, encoder, search, predictor, joint)
    raise BrokenError(f"the worker gave impossible figures: {str(fields)[:80]}")


def _token_from(fields: object, samples: int) -> Token:
    match fields:
        case [*values] if bool in map(type, values):
            pass
        case [int(number), str(piece), int(start), int(duration), float() | int() as probability]:
            if (
                number >= 0
                and start >= 0
                and duration >= 0
                and len(piece) <= LONGEST_PIECE
                and start + duration <= samples + MAX_OVERHANG
                and 0 <= probability <= 1  # false for NaN
            ):
                return Token(number, piece, start, duration, float(probability))
    raise BrokenError(f"the worker gave an impossible token: {str(fields)[:80]}")


def info_from(fields: object) -> BackendInfo:
    """Return what a loaded backend says of itself. Raises `BrokenError`."""
    match fields:
        case {
            "backend": str(backend),
            "model": str(model),
            "compute_units": str(units),
            "runtime": str(runtime),
            "max_samples": int(most),
            "load_ms": int(ms),
            "warm": None | bool() as warm,
            **more,
        } if most > 0 <= ms and isinstance(form := more.get("form"), str | None):
            notes = _notes_from(more.get("notes", []))
            return BackendInfo(backend, model, units, runtime, most, ms, warm, form, notes)
    raise BrokenError("the worker did not say what it loaded")


def _notes_from(fields: object) -> tuple[tuple[str, str], ...]:
    notes: list[tuple[str, str]] = []
    for note in fields if isinstance(fields, list) else [fields]:
        match note:
            case [str(code), str(message)]:
                notes.append((code, message))
            case _:
                raise BrokenError("the worker did not say what it loaded")
    return tuple(notes)


def error_from(fields: object) -> ParakeetError:
    """Return an error by its name. Raises `BrokenError` for an unknown one."""
    match fields:
        case {"name": str(name), "message": str(message), "hint": str(hint)} if name in ERRORS:
            return ERRORS[name](message, hint)
    raise BrokenError("the worker named an error that does not exist")


def framed(fields: Mapping[str, object]) -> bytes:
    """Return an answer as it goes through the pipe."""
    text = json.dumps(fields).encode()
    return LENGTH.pack(len(text)) + text


def fields_of_tokens(hypothesis: Hypothesis) -> list[list[object]]:
    """Return the tokens of a window as JSON has them."""
    return [[t.id, t.piece, t.start, t.duration, t.probability] for t in hypothesis.tokens]


def fields_of_work(hypothesis: Hypothesis) -> dict[str, object]:
    """Return what a window took as JSON has it; nothing where it was not measured."""
    work = hypothesis.work
    return {} if work is None else {"work": [getattr(work, name) for name in WORK]}


def fields_of(error: ParakeetError) -> dict[str, str]:
    """Return an error as JSON has it."""
    return {"name": error.name, "message": error.message, "hint": error.hint}

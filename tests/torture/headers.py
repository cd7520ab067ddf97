"""Headers that mean harm, by the ten thousand: opened and read in forked children.

    python tests/torture/headers.py [--cases 60000] [--seed 1] [--seconds 900] [--case NUMBER]

Each case is a small sound file of some format with a header that was garbled by the seed and the
number of the case. A child opens and reads it as `--input FILE` would, every fourth as a pipe on
stdin. What may come of it: it is heard, or refused, or broken off in words. A hang is a case that
takes longer than `HANG`; one whose header libsndfile never finishes counts as given up, which costs
a thread and no recording. The exit code is 1 if anything hung, crashed, or raised another error.
"""

import argparse
import collections
import contextlib
import io
import os
import random
import select
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from parakeet_coreml.audio import decoder
from parakeet_coreml.audio.file import FileSource
from parakeet_coreml.audio.pcm import PcmSource
from parakeet_coreml.errors import ParakeetError

HANG = 20.0
"""Seconds in which a case must be over."""

PATIENCE = 1.0
"""Seconds a header is waited for here; 4 in a recording."""

GARBLED = 256
"""Bytes from the start in which harm is done."""

EXTREMES = (0, 1, 7, 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF8, 0xFFFF_FFFE, 0xFFFF_FFFF)

NAMES = [
    *(b"LIST", b"INFO", b"fmt ", b"data", b"fact", b"PEAK", b"bext", b"cue ", b"smpl", b"inst"),
    *(b"COMM", b"SSND", b"MARK", b"INST", b"APPL", b"desc", b"pakt", b"kuki", b"chan", b"free"),
]
"""Chunks that are put where they do not belong."""


def seeds() -> list[bytes]:
    """Return a short sound in every format and encoding that libsndfile writes."""
    sound = (0.1 * np.sin(np.arange(1_600) / 5)).astype(np.float32)
    made = []
    for name in sorted(soundfile.available_formats().keys() - {"SD2"}):  # which is two files
        for subtype in soundfile.available_subtypes(name):
            file = io.BytesIO()
            with contextlib.suppress(soundfile.LibsndfileError, ValueError, TypeError):
                soundfile.write(file, sound, 16_000, format=name, subtype=subtype)
                made.append(file.getvalue())
    return [data for data in made if data]


def garbled(data: bytes, rng: random.Random) -> bytes:
    """Return a file with one to four things wrong in its header."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(GARBLED, max(1, len(out))))
        how = rng.randrange(7)
        if how == 0:
            out[at : at + 1] = rng.randbytes(1)
        elif how == 1:
            order = rng.choice("<>")
            out[at & ~1 : (at & ~1) + 4] = struct.pack(order + "I", rng.choice(EXTREMES))
        elif how == 2:
            out[at : at + 8] = struct.pack(rng.choice("<>") + "q", rng.choice((-8, -1, 0, 1 << 62)))
        elif how == 3:
            del out[at : at + rng.randint(1, 16)]
        elif how == 4:
            size = rng.choice((*EXTREMES, rng.randrange(64)))
            body = rng.randbytes(rng.randrange(40))
            out[at & ~1 : at & ~1] = rng.choice(NAMES) + struct.pack("<I", size) + body
        elif how == 5:
            out[at & ~1 : (at & ~1) + 4] = rng.choice(NAMES)
        else:
            del out[rng.randrange(12, max(13, len(out))) :]
    return bytes(out)


def case(number: int, seed: int, made: Sequence[bytes]) -> bytes:
    rng = random.Random(f"{seed} {number}")
    return garbled(made[number % len(made)], rng)


def outcome(number: int, data: bytes, path: Path) -> str:
    """Open and read one file; return what came of it."""
    try:
        if number % 4:
            path.write_bytes(data)
            source = FileSource(path, realtime=False, warn=lambda *_: None)
            total = sum(map(len, source.blocks()))
            source.close()
        else:
            total = sum(map(len, _piped(data)))
    except ParakeetError as error:
        if "leads nowhere" in error.message:
            return "given up"
        return error.name if "\n" not in error.message else "two lines"
    except Exception as error:  # noqa: BLE001  that is what is looked for
        return f"raised {type(error).__name__}: {error}"
    return "heard" if total <= 1_000 * (len(data) + 1_000) else "heard too much"


def _piped(data: bytes) -> list[np.ndarray]:
    reading, writing = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(writing, "wb") as pipe:  # noqa: PTH123  a descriptor
            pipe.write(data)

    threading.Thread(target=feed, daemon=True).start()
    try:
        source = PcmSource(reading, rate=16_000, encoding="s16le", warn=lambda *_: None)
        return list(source.blocks())
    finally:
        os.close(reading)


@dataclass
class Tally:
    """What came of the cases."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)

    def note(self, number: int, what: str) -> None:
        self.counts[what.split(":", maxsplit=1)[0]] += 1
        if what not in {"heard", "usage", "storage", "given up"}:
            self.bad.append((number, what))
            print(f"  --case {number}: {what}", flush=True)


def child(numbers: range, seed: int, made: Sequence[bytes], told: int) -> None:
    """Run cases until one leaves a busy thread behind; tell each outcome."""
    decoder.OPEN_PATIENCE = PATIENCE
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # libsndfile and mpg123 talk
    os.dup2(null, 2)
    path = Path(tempfile.gettempdir()) / f"headers-{os.getpid()}"
    for number in numbers:
        what = outcome(number, case(number, seed, made), path)
        os.write(told, f"{number} {what}\n".replace("\n", " ", what.count("\n")).encode())
        if what == "given up":
            break
    path.unlink(missing_ok=True)
    os._exit(0)


def batch(numbers: range, seed: int, made: Sequence[bytes], tally: Tally) -> int:
    """Fork a child for some cases; return the first number it did not get to."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        child(numbers, seed, made, writing)
    os.close(writing)
    at, kept = numbers.start, b""
    with open(reading, "rb", buffering=0) as told:  # noqa: PTH123  a descriptor
        while True:
            ready, _, _ = select.select([told], [], [], HANG)
            if not ready:
                os.kill(pid, signal.SIGKILL)
                tally.note(at, "hang")
                at += 1
                break
            data = told.read(1 << 16)
            if not data:
                break
            *lines, kept = (kept + data).split(b"\n")
            for line in lines:
                number, _, what = line.decode().partition(" ")
                tally.note(int(number), what)
                at = int(number) + 1
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        tally.note(at, f"crash by signal {os.WTERMSIG(status)}")
        at += 1
    return at


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--case", type=int, help="run this one here, and say what came of it")
    options = parser.parse_args()
    made = seeds()
    if options.case is not None:
        data = case(options.case, options.seed, made)
        Path("case.bin").write_bytes(data)
        print(options.case, outcome(options.case, data, Path("case.bin")))
        return 0
    tally, at, began = Tally(), 0, time.monotonic()
    while at < options.cases and time.monotonic() - began < options.seconds:
        at = batch(range(at, min(at + 500, options.cases)), options.seed, made, tally)
    seconds = time.monotonic() - began
    print(f"{at} headers of {len(made)} formats, seed {options.seed}, {seconds:.0f} s")
    for what, count in tally.counts.most_common():
        print(f"  {what}: {count}")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())

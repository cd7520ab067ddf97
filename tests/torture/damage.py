"""Damaged answers of a worker, and damaged files of a model.

    python tests/torture/damage.py [--frames 50000] [--models 90] [--seed 1] [--seconds 420]

Frames: real answers of a worker with one to four bytes wrong, read as the recorder reads them; each
is a valid hypothesis or breaks the worker in words. Models: copies of the built-in model, of every
form, with a byte of one file turned, the file cut off or emptied; each recording has words, or one
`error` that says what is wrong with the model. What an altered weight does to words is nobody's to
see: `models verify` compares hashes. The exit code is 1 if anything else came of it.
"""

import argparse
import collections
import os
import random
import shutil
import struct
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from harm import TESTS, Run, run
from recorder import command, sound, write_wav

from parakeet_coreml.backends.worker.wire import (
    LENGTH,
    MAX_ANSWER,
    BrokenError,
    error_from,
    framed,
    hypothesis_from,
    info_from,
    object_from,
)

TINY = TESTS.parent / "parakeet_coreml" / "tiny_en"

SAMPLES = 240_000
"""Of the window that the frames answer."""

ANSWERS: tuple[dict[str, object], ...] = (
    {
        "ready": {
            "backend": "onnx",
            "model": "tiny-en",
            "compute_units": "cpu",
            "runtime": "onnx",
            "max_samples": SAMPLES,
            "load_ms": 12,
            "warm": None,
            "form": "float32",
            "notes": [["language", "this model keeps to no script"]],
        }
    },
    {"failed": {"name": "model_unusable", "message": "it will not load", "hint": ""}},
    {"seq": 3, "tokens": [[7, "▁push", 1_280, 2_560, 0.93], [12, "es", 3_840, 0, 0.5]]},
    {"seq": 3, "tokens": [], "work": [0.1, 2.5, 0.25, 20, 31]},
    {"seq": 3, "error": {"name": "backend_failed", "message": "no", "hint": "try again"}},
)

FILES = {
    "onnx": ("encoder-model.onnx", "decoder_joint-model.onnx", "vocab.txt"),
    "coreml": ("Encoder.mlpackage", "Decoder.mlpackage", "JointDecision.mlpackage",
               "Preprocessor.mlpackage", "parakeet_vocab.json"),
    "mlx": ("config.json", "model.safetensors"),
}  # fmt: skip
"""What is damaged, by the backend that reads it."""

TOLD = (20, 21, 22, 23)


def harmed(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to four of them wrong."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        out[at] = rng.choice((out[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0x30, 0x22))
    return bytes(out)


def read(frame: bytes) -> str:
    """Read a frame as `worker.process` and `worker.client` do; return what came of it."""
    (length,) = LENGTH.unpack_from(frame)
    if length > min(MAX_ANSWER, len(frame) - LENGTH.size):
        return "never whole"
    try:
        answer = object_from(frame[LENGTH.size : LENGTH.size + length])
        if "failed" in answer:
            error_from(answer["failed"])
        elif "ready" in answer:
            info_from(answer["ready"])
        else:
            hypothesis_from(answer, seq=3, samples=SAMPLES)
    except BrokenError as error:
        return "broken" if "\n" not in str(error) else "two lines"
    except Exception as error:  # noqa: BLE001  that is what is looked for
        return f"raised {type(error).__name__}: {error}"
    return "valid"


def frames(count: int, rng: random.Random) -> int:
    """Read garbled frames; return how many did harm."""
    tally: collections.Counter[str] = collections.Counter()
    bad = 0
    for _ in range(count):
        frame = harmed(framed(rng.choice(ANSWERS)), rng)
        what = read(frame)
        tally[what.split(":", maxsplit=1)[0]] += 1
        if what not in {"valid", "broken", "never whole"}:
            bad += 1
            print(f"  {frame!r}: {what}", flush=True)
    print(f"frames: {count}: {dict(tally)}")
    return bad


def spoil(path: Path, rng: random.Random) -> str:
    """Do one thing to a file, or to one of a package's; return what."""
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    file = rng.choice(sorted(files))
    data = bytearray(file.read_bytes())
    how, at = rng.randrange(4), rng.randrange(len(data))
    if how == 0:
        del data[at:]
        done = f"cut at {at}"
    elif how == 1:
        data[at : at + 8] = struct.pack("<q", rng.choice((-1, 0, 1 << 62)))
        done = f"a number at {at}"
    else:
        at = rng.randrange(min(len(data), 4_096)) if how == 2 else at
        data[at] ^= 1 << rng.randrange(8)
        done = f"a bit at {at}"
    file.unlink()
    file.write_bytes(bytes(data))
    return f"{file.name}: {done}"


def verdict(ended: Run) -> str:
    """Return what came of a recording with a damaged model."""
    code = ended.code
    if code is None:
        return "hang"
    try:
        lines = ended.fields()
    except ValueError:
        return "garbled"
    if not lines or lines[-1]["type"] != "done":
        return f"no done: code {code}"
    errors = [line["message"] for line in lines if line["type"] == "error"]
    if code in TOLD and errors and all(map(str.isprintable, errors)):
        return f"told with {code}"
    return "words" if code == 0 and not errors else f"code {code}: {errors}"


def models(count: int, rng: random.Random, until: float) -> int:
    """Record with damaged models; return how many did harm."""
    tally: collections.Counter[str] = collections.Counter()
    bad = done = 0
    backends = [name for name in FILES if name != "mlx" or find_spec("mlx")]
    with tempfile.TemporaryDirectory(prefix="damage-") as made:
        folder = Path(made)
        file = write_wav(folder / "sound.wav", sound("alfa", "bravo"))
        while done < count and time.monotonic() < until:
            backend = backends[done % len(backends)]
            model = folder / "model"
            shutil.copytree(TINY, model)
            what = spoil(model / rng.choice(FILES[backend]), rng)
            arguments = command(
                *("progressive-record", "--input", file, "--backend", backend, "--model", model)
            )
            outcome = verdict(run(arguments, env=dict(os.environ)))
            shutil.rmtree(model)
            done += 1
            tally[f"{backend} {outcome.split(':', maxsplit=1)[0]}"] += 1
            if outcome != "words" and not outcome.startswith("told"):
                bad += 1
                print(f"  {backend}, {what}: {outcome}", flush=True)
    print(f"models: {done}: {dict(sorted(tally.items()))}")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--models", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=420.0)
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    bad = frames(options.frames, rng)
    bad += models(options.models, rng, began + options.seconds)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

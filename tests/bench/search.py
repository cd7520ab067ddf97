"""Compare our search with onnx-asr's on the same frames and the same file of predictor and joint.

    python tests/bench/search.py [FILE …]

The encoder runs once for both; what is timed is the search with all that it calls, in CPU time of
its thread, so that other programs disturb it little. `v3-sized` has random weights in the sizes of
v3's predictor and joint: it says nonsense, but takes as long.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in the worker

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "backends"))
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnx
import onnx_asr
import soundfile
import tiny_onnx
from onnxruntime.quantization import quantize_dynamic

from parakeet_coreml.audio.samples import MODEL_WINDOW, Samples
from parakeet_coreml.backends.decoder_joint import open_stepper
from parakeet_coreml.backends.graphs import open_session
from parakeet_coreml.backends.onnx import OnnxNetworks
from parakeet_coreml.backends.transducer.tdt import Frames, greedy
from parakeet_coreml.backends.transducer.vocab import read_vocab
from parakeet_coreml.store.manifest import DURATIONS

ROOT = Path(__file__).parent.parent.parent
DECODER = "decoder_joint-model.onnx"
TINY = ROOT / "parakeet_coreml" / "tiny_en"
SAMPLES = sorted((ROOT / "parakeet_coreml" / "samples").glob("*.wav"))
RUNS = 31
V3 = {"DIMENSION": 1024, "HIDDEN": 640, "JOINED": 640, "BLANK": 8192}


def main() -> None:
    """Print a line for each window and one for each model of v3's size."""
    parser = argparse.ArgumentParser(description="our search beside onnx-asr's")
    parser.add_argument("files", nargs="*", type=Path, default=SAMPLES)
    files = parser.parse_args().files
    peer: Any = onnx_asr.load_model("nemo-conformer-tdt", str(TINY)).asr
    blank = read_vocab(TINY / "vocab.txt").blank or 0
    networks = _networks(TINY / DECODER, blank, peer)
    for path in files:
        for number, window in enumerate(_windows(path)):
            _compare(f"{path.name} {number}", networks, peer, networks.encode(window))
    frames = np.random.default_rng(0).normal(0, 1, (188, V3["DIMENSION"])).astype(np.float32)
    peer._vocab_size, peer._blank_idx = V3["BLANK"] + 1, V3["BLANK"]
    with tempfile.TemporaryDirectory() as folder:
        for path in _sized(Path(folder)):
            _compare(path.stem, _networks(path, V3["BLANK"], peer), peer, frames)


def _networks(decoder: Path, blank: int, peer: Any) -> OnnxNetworks:
    """Return ours, and give the peer the same file on one thread: its own would use more."""
    encoder = open_session(TINY / "encoder-model.onnx", threads=2)
    stepper = open_stepper(decoder, blank, DURATIONS)
    networks = OnnxNetworks(encoder, stepper, blank=blank, durations=DURATIONS)
    peer._decoder_joint = open_session(decoder, threads=1)
    dimension = peer._decoder_joint.get_inputs()[0].shape[1]
    networks._block = networks._longest_block(dimension, networks.predict(0, None))
    return networks


def _sized(folder: Path) -> Iterator[Path]:
    """Write random graphs of v3's size that are blank as often as speech makes them."""
    for name, value in V3.items():
        setattr(tiny_onnx, name, value)
    recipe = tiny_onnx.Recipe(
        outputs=V3["BLANK"] + 1 + len(DURATIONS), joint_dimension=V3["DIMENSION"], blank_bias=85.0
    )
    path = folder / "v3-sized.onnx"
    onnx.save(tiny_onnx.decoder_joint(recipe), path)
    yield path
    small = folder / "v3-sized.int8.onnx"
    quantize_dynamic(path, small)
    yield small


def _windows(path: Path) -> Iterator[Samples]:
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != 16_000 or sound.ndim != 1:
        sys.exit(f"{path} is not 16 kHz mono")
    for start in range(0, len(sound), MODEL_WINDOW):
        yield sound[start : start + MODEL_WINDOW]


def _compare(name: str, networks: OnnxNetworks, peer: Any, frames: Frames) -> None:
    def ours() -> list[int]:
        return [emission.token for emission in greedy(networks, frames)]

    def theirs() -> list[int]:
        ((tokens, _, _),) = peer._decoding(frames[None], np.array([len(frames)]))
        return list(tokens)

    tokens = ours()
    same = "the same tokens" if tokens == theirs() else "OTHER TOKENS"
    networks.tally.joint = 0
    ours()
    mine, peers = _timed(ours, theirs)
    print(
        f"{name}: {len(frames)} frames, {len(tokens)} tokens, "
        f"{networks.tally.joint // (RUNS + 1)} calls of the joint: "
        f"{mine:.2f} ms, onnx-asr {peers:.2f} ms, {mine / peers:.2f}x, {same}"
    )


def _timed(*searches: Callable[[], object]) -> list[float]:
    """Return the median CPU time of each in milliseconds, taken by turns."""
    taken: list[list[float]] = [[] for _ in searches]
    for _ in range(RUNS):
        for search, times in zip(searches, taken, strict=True):
            began = time.thread_time()
            search()
            times.append((time.thread_time() - began) * 1000)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    main()

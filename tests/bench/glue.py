"""Measure what a call of a Core ML program costs beside Core ML: checks, buffers, copies, decision.

    python tests/bench/glue.py

A stand-in for coremltools' binding answers at once with arrays of v3's sizes, so that all the time
is ours. CPU time of the thread, so that other programs disturb it little; Apple's own time and its
conversion of arrays are not in it.
"""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from parakeet_coreml.backends import binding
from parakeet_coreml.backends.binding import AppleProgram, Buffers
from parakeet_coreml.backends.coreml import CoreMLNetworks, Programs
from parakeet_coreml.backends.reference.mlpackage import Description, Feature
from parakeet_coreml.backends.transducer.tdt import Frames, greedy

FRAMES, WIDTH, HIDDEN, LAYERS, BLANK = 188, 1024, 640, 2, 8192
EVERY = 3
"""One call of the joint in so many is a token, the others are blank: about as speech has it."""
ROUNDS, WINDOWS = 15, 5

ONE = Feature("int32", (1, 1))
LENGTH = Feature("int32", (1,))
STEP = Feature("float32", (1, HIDDEN, 1))
STATE = Feature("float32", (LAYERS, 1, HIDDEN))
FRAME = Feature("float32", (1, WIDTH, 1))
DECODER = Description(
    {"targets": ONE, "target_length": LENGTH, "h_in": STATE, "c_in": STATE},
    {"decoder": STEP, "h_out": STATE, "c_out": STATE},
)
JOINT = Description({"encoder_step": FRAME, "decoder_step": STEP}, {})


class AtOnce:
    """A binding's model that answers without computing; every `EVERY`th joint is a token."""

    calls = 0

    def __init__(self, path: str, *_: Any) -> None:
        self._joint = "Joint" in path
        state, one = np.zeros(STATE.shape, np.float32), np.zeros((1, 1, 1))
        best = np.arange(64.0).reshape(1, 1, 1, 64)
        self._step = {"decoder": np.zeros(STEP.shape, np.float32), "h_out": state, "c_out": state}
        decided = {
            "token_prob": one.astype(np.float32),
            "duration": one.astype(np.int32) + 1,
            "top_k_ids": best.astype(np.int32),
            "top_k_logits": best.astype(np.float32),
        }
        self._blank = {**decided, "token_id": np.full((1, 1, 1), BLANK, np.int32)}
        self._token = {**decided, "token_id": one.astype(np.int32)}

    def predict(self, _inputs: dict[str, Any], _state: None) -> dict[str, Any]:
        """Answer."""
        type(self).calls += 1
        if not self._joint:
            return self._step
        self._asked = getattr(self, "_asked", 0) + 1
        return self._blank if self._asked % EVERY else self._token


def program(folder: Path, name: str, description: Description) -> AppleProgram:
    """Return a program of that description on the stand-in."""
    path = folder / f"{name}.mlmodelc"
    path.mkdir()
    made = AppleProgram(path, "cpu_only", kept=folder)
    made.description = description
    return made


def main() -> None:
    """Print the median over rounds of our time for each call, with fresh buffers and without."""
    platform.system = lambda: "Darwin"
    binding.proxy_class = lambda: AtOnce
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decoder, joint = program(folder, "Decoder", DECODER), program(folder, "Joint", JOINT)
    programs = Programs(joint, None, decoder, joint)
    networks = CoreMLNetworks(programs, blank=BLANK, durations=(0, 1, 2, 3, 4))
    for name, rest in (("a first window", Buffers.REST), ("later ones", 0.0)):
        Buffers.REST = rest  # buffers of a window 13 s ago have rested
        each = _measured(networks, np.zeros((FRAMES, WIDTH), np.float32))
        print(
            f"{name}: {AtOnce.calls // WINDOWS} calls, {statistics.median(each):.1f} µs each "
            f"({min(each):.1f} to {max(each):.1f}); {platform.machine()}, "
            f"load {os.getloadavg()[0]:.1f}"
        )


def _measured(networks: CoreMLNetworks, frames: Frames) -> list[float]:
    """Return our microseconds for each call, one figure a round."""
    each = []
    for _ in range(ROUNDS):
        AtOnce.calls, began = 0, time.thread_time()
        for _ in range(WINDOWS):
            greedy(networks, frames)
        each.append((time.thread_time() - began) / AtOnce.calls * 1e6)
    return each


if __name__ == "__main__":
    main()

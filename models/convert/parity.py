"""Compare the forms of one checkpoint with PyTorch, stage by stage, and their words.

    python -m models.convert.parity CHECKPOINT FORM... --sound FILE...

A form is a folder that one or more backends load; each backend that finds its files there is
tried. Exits with 1 if a form of floats strays from PyTorch or any two give other words. Forms of
fewer bits (`--lossy`) are measured and told, not judged.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from models.convert import checkpoint as checkpoints
from models.convert.reference import TorchNetworks
from parakeet_coreml.audio import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends import BackendSpec, coreml, mlx, onnx, open_backend
from parakeet_coreml.backends.mil import Evaluator
from parakeet_coreml.mel import log_mel, valid_frames
from parakeet_coreml.models import LAYOUTS
from parakeet_coreml.tdt import Decision, Frames, greedy

TOLERANCES = {"mel": 2e-3, "encoder": 5e-3, "probability": 1e-2}
"""Mel: the greatest difference, of features with deviation 1; encoder: relative, weights as halves;
probability: the greatest difference of a token's, the predictor and the joint behind it."""


def main() -> None:
    """Print a line for each form and sound; exit with 1 if one is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("forms", type=Path, nargs="+")
    parser.add_argument("--lossy", type=Path, nargs="*", default=[])
    parser.add_argument("--sound", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    checkpoint = checkpoints.load(options.checkpoint)
    reference = TorchNetworks(checkpoint.model)
    bad = 0
    for sound in options.sound:
        window = read(sound)
        walk = Walk.of(reference, window)
        text = words(checkpoint.pieces, [step.decision.token for step in walk.steps])
        print(f"{sound.name}: {len(window) / SAMPLE_RATE:.1f} s\n  PyTorch: {text}")
        bad += generated(checkpoint, reference, window) != text
        for folder, strict in [
            *((f, True) for f in options.forms),
            *((f, False) for f in options.lossy),
        ]:
            for name in LAYOUTS:
                if all(any((folder / file).exists() for file in row) for row in LAYOUTS[name]):
                    bad += compare(name, folder, walk, text, checkpoint.pieces) and strict
                    if name == "coreml" and strict:
                        halved(folder, walk, text, checkpoint.pieces)
    sys.exit(bool(bad))


def read(path: Path) -> Samples:
    """Return a sound's first window."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != SAMPLE_RATE:
        raise SystemExit(f"{path.name} has {rate} Hz, not {SAMPLE_RATE}")
    return np.ascontiguousarray(samples[:MODEL_WINDOW, 0])


@dataclass(frozen=True, slots=True)
class Step:
    """A decision of PyTorch at a frame."""

    frame: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Walk:
    """How PyTorch went through a window."""

    window: Samples
    mel: Any
    frames: Frames
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, networks: TorchNetworks, window: Samples) -> "Walk":
        """Search greedily, and keep every decision."""
        frames = networks.encode(window)
        steps: list[Step] = []
        places = {frame.tobytes(): number for number, frame in enumerate(frames)}

        class Noted(TorchNetworks):
            """The networks, with their decisions noted."""

            def joint(self, frame: Frames, prediction: Any, /) -> Decision:  # noqa: ANN401  torch
                """Note and decide."""
                decision = super().joint(frame, prediction)
                steps.append(Step(places[frame.tobytes()], decision))
                return decision

        greedy(Noted(networks.model), frames)
        features = networks.features(window)["input_features"][0].numpy().T
        return cls(window, features, frames, tuple(steps))

    def forced(self, networks: Any, blank: int) -> Iterator[tuple[Decision, Decision]]:  # noqa: ANN401  of any backend
        """Give PyTorch's decisions and another's, led along PyTorch's way."""
        prediction = networks.predict(blank, None)
        for step in self.steps:
            yield step.decision, networks.joint(self.frames[step.frame], prediction)
            if step.decision.token != blank:
                prediction = networks.predict(step.decision.token, prediction)


def words(pieces: tuple[str, ...], tokens: list[int]) -> str:
    """Return the text of tokens, blank and special pieces left out."""
    kept = [pieces[t] for t in tokens if t < len(pieces) and not pieces[t].startswith("<")]
    return "".join(kept).replace("▁", " ").strip()


def generated(checkpoint: checkpoints.Checkpoint, networks: TorchNetworks, window: Samples) -> str:
    """Return the words of `transformers`' own search."""
    features = networks.features(window)
    # As NVIDIA's checkpoints have it: start with blank, and durations are no tokens.
    how = checkpoint.model.generation_config
    how.decoder_start_token_id = checkpoint.blank
    how.suppress_tokens = [checkpoint.blank + 1 + i for i in range(len(networks.durations))]
    found = checkpoint.model.generate(**features)
    sequences = found.sequences if hasattr(found, "sequences") else found
    text = words(checkpoint.pieces, [int(token) for token in sequences[0]])
    print(f"  generate: {text}")
    return text


def compare(name: str, folder: Path, walk: Walk, text: str, pieces: tuple[str, ...]) -> bool:
    """Print how far a form strays; True if it is too far."""
    networks = open_networks(name, folder)
    mel = mel_of(networks, walk)
    frames = networks.encode(walk.window)
    pairs = list(walk.forced(networks, networks.blank))
    found = {
        "mel": float(np.abs(mel - walk.mel).max()),
        "encoder": float(np.linalg.norm(frames - walk.frames) / np.linalg.norm(walk.frames)),
        "probability": max(abs(a.probability - b.probability) for a, b in pairs),
    }
    other = sum((a.token, a.duration_index) != (b.token, b.duration_index) for a, b in pairs)
    backend, _ = open_backend(BackendSpec(name, folder.name, str(folder)))
    heard = words(pieces, [token.id for token in backend.transcribe(walk.window).tokens])
    wrong = heard != text or any(found[k] > TOLERANCES[k] for k in TOLERANCES)
    figures = ", ".join(f"{key} {value:.1e}" for key, value in found.items())
    print(f"  {name} in {folder.name}: {figures}, {other} of {len(pairs)} decisions differ")
    print(f"    {'same words' if heard == text else heard}{', not within bounds' if wrong else ''}")
    return wrong


def halved(folder: Path, walk: Walk, text: str, pieces: tuple[str, ...]) -> None:
    """Print what becomes of a Core ML form whose every result is rounded to half precision.

    A device that stores halves behaves like this, though not to the last bit.
    """
    parts = {
        name: Evaluator(folder / f"{name}.mlpackage", half=True)
        for name in ("Preprocessor", "Encoder", "Decoder", "JointDecision")
    }
    reference = open_networks("coreml", folder)
    networks = coreml.CoreMLNetworks(
        coreml.Programs(*parts.values()), blank=reference.blank, durations=reference.durations
    )
    frames = networks.encode(walk.window)
    error = float(np.linalg.norm(frames - walk.frames) / np.linalg.norm(walk.frames))
    heard = words(pieces, [emission.token for emission in greedy(networks, frames)])
    print(f"  coreml in {folder.name}, rounded to halves: encoder {error:.1e}")
    print(f"    {'same words' if heard == text else heard}")


def mel_of(networks: Any, walk: Walk) -> Any:  # noqa: ANN401  of any backend
    """Return a backend's features: Core ML's preprocessor, or the ones the others share."""
    if not isinstance(networks, coreml.CoreMLNetworks):
        return log_mel(walk.window)
    samples = walk.window[None]
    length = np.array([samples.shape[1]], np.int32)
    found = networks._programs.preprocessor.predict(  # noqa: SLF001  a stage that no backend shows
        {"audio_signal": samples, "audio_length": length}
    )
    if int(found["mel_length"].item()) != valid_frames(samples.shape[1]):
        raise SystemExit("the preprocessor counts other frames than ours")
    return found["mel"][0]


def open_networks(name: str, folder: Path) -> Any:  # noqa: ANN401  of any backend
    """Return the networks of a form."""
    opener = {"onnx": onnx.open_onnx, "coreml": coreml.open_coreml, "mlx": mlx.open_mlx}[name]
    backend, _ = opener(BackendSpec(name, folder.name, str(folder)))
    return backend._networks  # noqa: SLF001  a stage that no backend shows


if __name__ == "__main__":
    main()

"""Compare the forms of one checkpoint with PyTorch, stage by stage, and their words.

    python -m models.convert.parity CHECKPOINT FORM... --sound FILE... [--fewer-bits]

A form is a folder that one or more backends load; each backend that finds its files there is
tried, on every 15 s of a sound. Exits with 1 if a form of floats strays from PyTorch or any two
give other words, those of others' own searches among them: `transformers`', onnx-asr's and
parakeet-mlx's. Forms of fewer bits (`--lossy`, or made here with `--fewer-bits`) are measured and
reported, not judged. Beside a sound, a `.txt` may hold what is said in it.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile

from models.convert import checkpoint as checkpoints
from models.convert import coreml as packages
from models.convert import onnx as graphs
from models.convert.reference import TorchNetworks
from models.present import present
from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends import coreml, mlx, onnx, stepping
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.reference.evaluator import Evaluator
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.backends.transducer.mel import log_mel, valid_frames
from parakeet_coreml.backends.transducer.tdt import Decision, Frames, greedy
from parakeet_coreml.store.locate import LAYOUTS, stated

import onnx_asr  # isort: skip  after ours, which turns ONNX Runtime's telemetry off

TOLERANCES = {"mel": 2e-3, "encoder": 5e-3, "predictor": 5e-3, "joint": 1e-2}
"""The greatest that may be, over all windows, of

mel: a difference, of features with deviation 1; encoder: the relative error of a window's frames,
weights as halves; predictor: a difference in its state, led along PyTorch's way; joint: a
difference of a token's probability, given PyTorch's frames and what the form's predictor says.
"""

FEWER_BITS = ("palettized6", "int8")


def main() -> None:
    """Print some lines for each form and sound; exit with 1 if one is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=present)
    parser.add_argument("forms", type=present, nargs="+")
    parser.add_argument("--lossy", type=present, nargs="*", default=[])
    parser.add_argument("--fewer-bits", action="store_true", help="make forms of 6 and 8 bits too")
    parser.add_argument("--sound", type=present, nargs="+", required=True)
    options = parser.parse_args()
    with packages.quiet():
        checkpoint = checkpoints.load(options.checkpoint)
    with tempfile.TemporaryDirectory() as room:
        made = of_fewer_bits(checkpoint, Path(room)) if options.fewer_bits else []
        lossy = [*options.lossy, *made]
        bad = [judge(checkpoint, sound, options.forms, lossy) for sound in options.sound]
    sys.exit(any(bad))


def of_fewer_bits(checkpoint: checkpoints.Checkpoint, room: Path) -> list[Path]:
    """Make a checkpoint's smaller forms in folders of `room`."""
    folders = [room / bits for bits in FEWER_BITS]
    with open(os.devnull, "w", encoding="utf-8") as sink, contextlib.redirect_stdout(sink):  # noqa: PTH123
        for folder in folders:
            packages.convert(checkpoint, folder, folder.name)
        graphs.convert(checkpoint, folders[-1], int8=True)
    return folders


def judge(
    checkpoint: checkpoints.Checkpoint, path: Path, forms: list[Path], lossy: list[Path]
) -> bool:
    """Print what each form makes of a sound; return whether one is out of bounds."""
    sound = Sound.of(path, TorchNetworks(checkpoint.model), checkpoint.pieces)
    print(f"{path.name}: {len(sound.walks)} windows\n  PyTorch: {sound.text}")
    if sound.said:
        print(f"    {errors(sound.said, sound.text)}")
    bad = [not sound.same("transformers' generate", generated(checkpoint, sound))]
    for folder in forms:
        for name in backends_of(folder):
            bad.append(not compare(name, folder, sound))
            if name == "coreml":
                halved(folder, sound)
            else:
                bad.append(not sound.same(*searched(name, folder, sound)))
    for folder in lossy:
        for name in backends_of(folder):
            compare(name, folder, sound)
    return any(bad)


def backends_of(folder: Path) -> list[str]:
    """Return the backends that find their files in a folder."""
    return [
        name
        for name, rows in LAYOUTS.items()
        if all(any((folder / file).exists() for file in row) for row in rows)
    ]


# What PyTorch does


@dataclass(frozen=True, slots=True)
class Step:
    """A decision of PyTorch at a frame, and the predictor's state, h and c, before it."""

    frame: int
    decision: Decision
    state: Any


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

        class Noted(TorchNetworks):
            """The networks, with their decisions noted."""

            def joint(self, ahead: Frames, prediction: Any, /) -> Decision:  # noqa: ANN401  torch
                """Note and decide."""
                decision = super().joint(ahead, prediction)
                state = np.stack([part.numpy() for part in prediction[1]])
                steps.append(Step(len(frames) - len(ahead), decision, state))
                return decision

        greedy(Noted(networks.model), frames)
        features = networks.features(window)["input_features"][0].numpy().T
        return cls(window, features, frames, tuple(steps))

    def forced(self, networks: Any) -> Iterator[tuple[Step, Decision, Any]]:  # noqa: ANN401  of any backend
        """Give PyTorch's steps, and another's decisions and states, led along PyTorch's way."""
        prediction = networks.predict(networks.blank, None)
        for step in self.steps:
            decision = networks.joint(self.frames[step.frame :], prediction)
            yield step, decision, state_of(prediction)
            if step.decision.token != networks.blank:
                prediction = networks.predict(step.decision.token, prediction)


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound, 15 s at a time, and what PyTorch heard in it."""

    walks: tuple[Walk, ...]
    pieces: tuple[str, ...]
    text: str
    said: str
    """What a person hears; empty if nobody wrote it down."""

    @classmethod
    def of(cls, path: Path, networks: TorchNetworks, pieces: tuple[str, ...]) -> "Sound":
        """Read a sound and let PyTorch hear it."""
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate != SAMPLE_RATE:
            raise SystemExit(f"{path.name} has {rate} Hz, not {SAMPLE_RATE}")
        mono = np.ascontiguousarray(samples[:, 0])
        starts = range(0, len(mono), MODEL_WINDOW)
        walks = tuple(Walk.of(networks, mono[at : at + MODEL_WINDOW]) for at in starts)
        text = words(pieces, ((step.decision.token for step in walk.steps) for walk in walks))
        beside = path.with_suffix(".txt")
        said = beside.read_text(encoding="utf-8").strip() if beside.is_file() else ""
        return cls(walks, pieces, text, said)

    def same(self, who: str, heard: str) -> bool:
        """Print whether somebody heard what PyTorch heard."""
        print(f"  {who}: {'same words' if heard == self.text else heard}")
        return heard == self.text


def words(pieces: tuple[str, ...], windows: Iterable[Iterable[int]]) -> str:
    """Return the text of windows of tokens, blank and special pieces left out."""
    texts = (
        "".join(pieces[t] for t in tokens if t < len(pieces) and not pieces[t].startswith("<"))
        for tokens in windows
    )
    return " ".join(" ".join(texts).replace("▁", " ").split())


# What others make of it


def compare(name: str, folder: Path, sound: Sound) -> bool:
    """Print how far a form strays; return whether it is within bounds."""
    networks = open_networks(name, folder)
    found = dict.fromkeys(TOLERANCES, 0.0)
    steps = other = 0
    for walk in sound.walks:
        error = np.linalg.norm(networks.encode(walk.window) - walk.frames)
        raise_to(found, "mel", greatest(mel_of(networks, walk), walk.mel))
        raise_to(found, "encoder", float(error / np.linalg.norm(walk.frames)))
        for step, decision, state in walk.forced(networks):
            raise_to(found, "predictor", greatest(state, step.state))
            if step.decision.token != networks.blank:  # of a blank it is not worked out
                raise_to(found, "joint", abs(decision.probability - step.decision.probability))
            steps += 1
            other += (decision.token, decision.duration_index) != (
                step.decision.token,
                step.decision.duration_index,
            )
    backend, _ = open_backend(spec_of(name, folder))
    tokens = ([t.id for t in backend.transcribe(walk.window).tokens] for walk in sound.walks)
    heard = words(sound.pieces, tokens)
    figures = ", ".join(f"{stage} {value:.1e}" for stage, value in found.items())
    print(f"  {name} in {folder.name}: {figures}, {other} of {steps} decisions differ")
    return report(sound, heard) and all(found[k] <= TOLERANCES[k] for k in TOLERANCES)


def raise_to(found: dict[str, float], stage: str, value: float) -> None:
    """Keep the greatest value of a stage; one that is no number is beyond all."""
    found[stage] = max(found[stage], float(np.nan_to_num(value, nan=np.inf)))


def report(sound: Sound, heard: str) -> bool:
    """Print how words differ from PyTorch's, and what that costs; return whether they do not."""
    if heard == sound.text:
        print("    same words")
        return True
    print(f"    {heard}\n    beside PyTorch's: {errors(sound.text, heard)}")
    if sound.said:
        print(f"    beside what is said: {errors(sound.said, heard)}")
    return False


def errors(wanted: str, heard: str) -> str:
    """Return how many words are wrong, and which."""
    if not wanted:
        return f"{len(heard.split())} words where there are none"
    found = jiwer.process_words(wanted, heard)
    changed = [
        f"{' '.join(found.references[0][part.ref_start_idx : part.ref_end_idx]) or '-'}"
        f" → {' '.join(found.hypotheses[0][part.hyp_start_idx : part.hyp_end_idx]) or '-'}"
        for part in found.alignments[0]
        if part.type != "equal"
    ]
    counts = f"S {found.substitutions}, D {found.deletions}, I {found.insertions}"
    total = len(found.references[0])
    return "; ".join([f"WER {found.wer:.1%} ({counts} of {total} words)", *changed])


def halved(folder: Path, sound: Sound) -> None:
    """Print what becomes of a Core ML form whose every result is rounded to half precision.

    A device that stores halves behaves like this, though not to the last bit.
    """
    names = ("Preprocessor", "Encoder", "Decoder", "JointDecision")
    parts = [Evaluator(folder / f"{name}.mlpackage", half=True) for name in names]
    reference = open_networks("coreml", folder)
    networks = coreml.CoreMLNetworks(
        coreml.Programs(*parts), blank=reference.blank, durations=reference.durations
    )
    frames = [networks.encode(walk.window) for walk in sound.walks]
    heard = words(sound.pieces, ([e.token for e in greedy(networks, f)] for f in frames))
    print(f"  coreml in {folder.name}, every result rounded to halves:")
    report(sound, heard)


def generated(checkpoint: checkpoints.Checkpoint, sound: Sound) -> str:
    """Return the words of `transformers`' own search."""
    networks = TorchNetworks(checkpoint.model)
    # As NVIDIA's checkpoints have it: start with blank, and durations are no tokens.
    how = checkpoint.model.generation_config
    how.decoder_start_token_id = checkpoint.blank
    how.suppress_tokens = [checkpoint.blank + 1 + i for i in range(len(networks.durations))]
    features = [networks.features(walk.window) for walk in sound.walks]
    with packages.quiet():  # it asks how long a text may get
        found = [checkpoint.model.generate(**each) for each in features]
    sequences = (getattr(each, "sequences", each)[0] for each in found)
    return words(checkpoint.pieces, ([int(token) for token in tokens] for tokens in sequences))


def searched(name: str, folder: Path, sound: Sound) -> tuple[str, str]:
    """Return whose own search there is for a form, and its words.

    onnx-asr brings its features too; parakeet-mlx's are others than the model was trained on, so
    it starts from ours.
    """
    if name == "onnx":
        hear = onnx_asr.load_model("nemo-conformer-tdt", folder).recognize
        return "onnx-asr", " ".join(filter(None, (hear(walk.window) for walk in sound.walks)))
    networks = open_networks(name, folder)
    decode = partial(networks._model.decode, last_token=[networks.blank])  # noqa: SLF001  theirs
    frames = (networks.encode(walk.window) for walk in sound.walks)
    found = [decode(mlx.mx.array(each[None]))[0][0] for each in frames]
    return "parakeet-mlx", words(sound.pieces, ([t.id for t in tokens] for tokens in found))


# Stages that no backend shows


def spec_of(name: str, folder: Path) -> BackendSpec:
    """Return what opens a form of a model, with what its manifest states."""
    blank, durations = stated(folder)
    return BackendSpec(name, folder.name, str(folder), blank=blank, durations=durations)


def open_networks(name: str, folder: Path) -> Any:  # noqa: ANN401  of any backend
    """Return the networks of a form."""
    opener: Any = {"onnx": onnx.open_onnx, "coreml": coreml.open_coreml, "mlx": mlx.open_mlx}[name]
    with contextlib.redirect_stderr(io.StringIO()):  # Core ML says that it is evaluated
        backend, _ = opener(spec_of(name, folder))
    return backend._networks  # noqa: SLF001  see above


def mel_of(networks: Any, walk: Walk) -> Any:  # noqa: ANN401  of any backend
    """Return a backend's features: Core ML's preprocessor, or the ones the others share."""
    if not isinstance(networks, coreml.CoreMLNetworks):
        return log_mel(walk.window)
    samples = walk.window[None]
    length = np.array([samples.shape[1]], np.int32)
    found = networks._programs.preprocessor.predict(  # noqa: SLF001  see above
        {"audio_signal": samples, "audio_length": length}
    )
    if int(found["mel_length"].item()) != valid_frames(samples.shape[1]):
        raise SystemExit("the preprocessor counts other frames than ours")
    return found["mel"][0]


def state_of(prediction: Any) -> Any:  # noqa: ANN401  of any backend
    """Return a predictor's state, h and c, once the joint has seen it."""
    match prediction:
        case coreml.Prediction():
            return np.stack([prediction.h, prediction.c])
        case stepping.Prediction(after=(h, c)):
            return np.stack([h, c])
    return np.stack([np.array(part.astype(mlx.mx.float32)) for part in prediction.state])


def greatest(found: Any, wanted: Any) -> float:  # noqa: ANN401  arrays
    """Return the greatest difference."""
    return float(np.abs(found - wanted).max())


if __name__ == "__main__":
    main()

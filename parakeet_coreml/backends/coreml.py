"""Parakeet TDT on Core ML, in the layout FluidInference publishes; off a Mac, evaluated.

A folder holds these programs, each as `.mlmodelc` or `.mlpackage`, a vocabulary, and a manifest
whose blank and durations come in the spec:

    Preprocessor    audio_signal (1, n), audio_length (1)     -> mel (1, 128, 1501), mel_length
    Encoder         mel, mel_length                           -> encoder (1, D, 188), encoder_length
    Decoder         targets (1, 1), target_length, h_in, c_in -> decoder (1, H, 1), h_out, c_out
    JointDecision   encoder_step (1, D, 1), decoder_step      -> token_id, token_prob, duration

The 110M model has no Encoder: its Preprocessor gives `encoder` itself. v3 calls its joint
JointDecisionv3, and may hold an older JointDecision beside it; its encoder of 8 instead of 6 bits
is Encoder_v2, which does not describe itself, and goes before an Encoder beside it.
"""

import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends import binding
from parakeet_coreml.backends.base import BackendInfo, BackendSpec
from parakeet_coreml.backends.binding import Program
from parakeet_coreml.backends.reference.mlpackage import Array
from parakeet_coreml.backends.transducer.backend import HINT, Tally, TransducerBackend
from parakeet_coreml.backends.transducer.mel import valid_frames
from parakeet_coreml.backends.transducer.steering import Preferences
from parakeet_coreml.backends.transducer.tdt import Candidates, Decision, Frames
from parakeet_coreml.backends.transducer.vocab import Vocab, read_vocab
from parakeet_coreml.errors import BackendFailedError, ModelMissingError, ModelUnusableError
from parakeet_coreml.store.locate import default_models_dir, own_manifest

ENCODERS = ("Encoder_v2", "Encoder")
JOINTS = ("JointDecisionv3", "JointDecision")
VOCABULARIES = ("parakeet_vocab.json", "vocab.json")

COLD = 3.0
"""Seconds of loading from which on something was compiled, which Core ML does not say: reported are
0.2 to 0.9 s with what an earlier load left, and 3.5 to 108 s without."""

Step = NDArray[np.float32]


def open_coreml(spec: BackendSpec) -> tuple[TransducerBackend["Prediction"], BackendInfo]:
    """Load the programs and the vocabulary of a folder, and run them once.

    A failed load is tried again with other compute units, and so is a load or a window that cost a
    process before (`spec.attempt`). Raises `ModelMissingError`, `ModelCorruptError`,
    `ModelUnusableError` or `StorageError`.
    """
    began = time.perf_counter()
    folder = Path(spec.directory)
    blank = _blank(spec, folder)
    vocab = _read_vocab(folder, blank)
    units, programs = _load(folder, spec)
    networks = CoreMLNetworks(programs, blank=blank, durations=spec.stated_durations())
    networks.check(spec.model)
    preferences = Preferences.of(spec, vocab.piece, blank, tells=networks.tells)
    took = time.perf_counter() - began
    info = BackendInfo(
        backend="coreml",
        model=spec.model,
        compute_units=units,
        runtime=binding.runtime(),
        max_samples=MODEL_WINDOW,
        load_ms=round(took * 1000),
        warm=took < COLD if binding.runtime() == "coreml" else None,
        form=_form(folder),
        notes=preferences.notes,
    )
    backend = TransducerBackend(
        networks, vocab, max_samples=MODEL_WINDOW, tally=networks.tally, preferences=preferences
    )
    return backend, info


@dataclass(frozen=True, slots=True)
class Programs:
    """What a model is made of."""

    preprocessor: Program
    encoder: Program | None
    decoder: Program
    joint: Program


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the predictor gave, shape (1, H, 1), and its state after that."""

    output: Step
    h: Step
    c: Step


class CoreMLNetworks:
    """The `Networks` of `tdt` over Core ML programs."""

    def __init__(self, programs: Programs, *, blank: int, durations: tuple[int, ...]) -> None:
        self.blank = blank
        self.durations = durations
        self.tally = Tally()
        self._programs = programs
        self._one = np.ones(1, np.int32)
        self.tells = False
        """Whether the joint gives candidates, as v3's and 110m's and our own do; see `check`."""
        self._zeros = np.zeros(_state_shape(programs.decoder), np.float32)

    def encode(self, window: Samples, /) -> Frames:
        """Return the valid encoder frames of a window, shape (frames, D).

        A window without two mel frames has no features and gives none. Raises
        `BackendFailedError`.
        """
        if valid_frames(len(window)) < 2:  # noqa: PLR2004  a deviation takes two
            return np.zeros((0, 1), np.float32)
        samples = np.zeros((1, MODEL_WINDOW), np.float32)
        samples[0, : len(window)] = window
        length = np.array([len(window)], np.int32)
        began = time.perf_counter()
        found = self._programs.preprocessor.predict(
            {"audio_signal": samples, "audio_length": length}
        )
        if self._programs.encoder is not None:
            self.tally.features = time.perf_counter() - began
            found = self._programs.encoder.predict(
                {"mel": found["mel"], "mel_length": found["mel_length"]}
            )
        frames = np.ascontiguousarray(found["encoder"][0].T)
        count = int(_number(found, "encoder_length"))
        if not 0 <= count <= len(frames) or not np.isfinite(frames[:count]).all():
            raise BackendFailedError("the encoder gave what is no frames")
        return frames[:count]

    def predict(self, token: int, previous: Prediction | None, /) -> Prediction:
        """Step the predictor; None is the zero state. Raises `BackendFailedError`."""
        self.tally.predictor += 1
        found = self._programs.decoder.predict(
            {
                "targets": np.array([[token]], np.int32),
                "target_length": self._one,
                "h_in": self._zeros if previous is None else previous.h,
                "c_in": self._zeros if previous is None else previous.c,
            }
        )
        output = found["decoder"].reshape(1, -1, 1)  # some exports say (1, 1, H)
        return Prediction(output, found["h_out"], found["c_out"])

    def joint(self, ahead: Frames, prediction: Prediction, /) -> Decision:
        """Judge `ahead[0]`, frames of shape (n, D). Raises `BackendFailedError`."""
        self.tally.joint += 1
        found = self._programs.joint.predict(
            {"encoder_step": ahead[0].reshape(1, -1, 1), "decoder_step": prediction.output}
        )
        decision = Decision(
            token=int(_number(found, "token_id")),
            probability=_number(found, "token_prob"),
            duration_index=int(_number(found, "duration")),
            candidates=_candidates(found),
        )
        if not 0 <= decision.token <= self.blank or not 0 <= decision.duration_index < len(
            self.durations
        ):
            raise BackendFailedError(f"the joint network gave what is no decision: {decision}")
        return decision

    def check(self, model: str) -> None:
        """Run everything once: that warms up, and shows whether the programs fit each other.

        Raises `ModelUnusableError`.
        """
        try:
            frames = self.encode(np.zeros(SAMPLE_RATE, np.float32))
            if not len(frames):
                raise ModelUnusableError(f"the encoder of '{model}' gives no frames", HINT)
            decision = self.joint(frames, self.predict(self.blank, None))
            self.tells = decision.candidates is not None
        except BackendFailedError as error:
            raise ModelUnusableError(
                f"the programs of '{model}' do not run: {error.message}", HINT
            ) from error


def _candidates(found: Mapping[str, NDArray[Any]]) -> Candidates | None:
    """Return the likeliest tokens, where the joint gives them."""
    if "top_k_ids" not in found or "top_k_logits" not in found:
        return None
    return Candidates(found["top_k_logits"].reshape(-1), found["top_k_ids"].reshape(-1))


def _number(found: Mapping[str, Array], name: str) -> float:
    """Return the one number of an output; raises `BackendFailedError` if it is none or many."""
    value = float(found[name].item()) if found[name].size == 1 else math.nan
    if not math.isfinite(value):
        raise BackendFailedError(
            f"the output '{name}' of shape {found[name].shape} is not one finite number"
        )
    return value


# Loading


def units_to_try(asked: str, attempt: int) -> tuple[str, ...]:
    """Return compute units for the encoder, best first; each attempt before this one used one up.

    Off a Mac there is nothing to choose.
    """
    if binding.runtime() != "coreml":
        return ("cpu_only",)
    order = dict.fromkeys((asked, "cpu_and_gpu", "cpu_only"))
    return tuple(order)[min(attempt, len(order) - 1) :]


def _load(folder: Path, spec: BackendSpec) -> tuple[str, Programs]:
    """Return the first compute units that load, and the programs."""
    if binding.runtime() == "reference":
        _say("no Core ML here: the reference evaluator runs the model, and its times are its own")
    again = spec.attempt > 1
    tried = units_to_try(spec.compute_units, 0 if again else spec.attempt)
    for units, other in pairwise(tried):
        try:
            return units, load_programs(folder, units, again=again)
        except ModelUnusableError as error:
            _say(f"{error.message}; trying {other}")
    return tried[-1], load_programs(folder, tried[-1], again=again)


def load_programs(folder: Path, units: str, *, again: bool = False) -> Programs:
    """Load the programs of a folder, the encoder for `units` and the rest for the CPU.

    A Fourier transform of 15 s does not fit the Neural Engine, and an LSTM it does not know; asked
    for all the same, it would compile in vain. But `again`, once two processes were lost, the rest
    goes by FluidAudio's own choice: the CPU's library has crashed on some builds of macOS (its
    issues 667, 818, 844, 878, 889). Never the GPU alone: recurrent steps abort on an M5's.

    Raises what `binding.load` raises, and `ModelUnusableError` for programs with other inputs or
    outputs.
    """
    front_units, rest = ("all", "cpu_and_ne") if again else ("cpu_only", "cpu_only")
    kept = compiled_folder()
    encoder = None
    fused = not any(_find(folder, name) for name in ENCODERS)
    if not fused:
        encoder = _program(folder, ENCODERS, units, kept, ENCODER)
    front = FUSED if fused else PREPROCESSOR
    return Programs(
        _program(folder, ("Preprocessor",), units if fused else front_units, kept, front),
        encoder,
        _program(folder, ("Decoder",), rest, kept, DECODER),
        _program(folder, JOINTS, rest, kept, JOINT),
    )


def compiled_folder() -> Path:
    """Return the folder for packages that Core ML compiled: beside the models."""
    models = os.environ.get("PARAKEET_COREML_MODELS_DIR")
    return (Path(models) if models else default_models_dir()) / "compiled"


@dataclass(frozen=True, slots=True)
class Contract:
    """Names of a program's inputs and of the outputs that are used; more outputs do no harm."""

    inputs: frozenset[str]
    outputs: frozenset[str]

    @classmethod
    def of(cls, inputs: str, outputs: str) -> "Contract":
        """Return the contract of names separated by spaces."""
        return cls(frozenset(inputs.split()), frozenset(outputs.split()))


PREPROCESSOR = Contract.of("audio_signal audio_length", "mel mel_length")
FUSED = Contract.of("audio_signal audio_length", "encoder encoder_length")
ENCODER = Contract.of("mel mel_length", "encoder encoder_length")
DECODER = Contract.of("targets target_length h_in c_in", "decoder h_out c_out")
JOINT = Contract.of("encoder_step decoder_step", "token_id token_prob duration")


def _program(
    folder: Path, names: tuple[str, ...], units: str, kept: Path, contract: Contract
) -> Program:
    """Load the first of `names` that is there, and hold it to its contract."""
    path = next((found for name in names if (found := _find(folder, name))), None)
    if path is None:
        raise ModelMissingError(f"no {' or '.join(names)} in '{folder}'", HINT)
    program = binding.load(path, units, kept=kept)
    inputs, outputs = program.description.inputs, program.description.outputs
    if inputs and (inputs.keys() != contract.inputs or not contract.outputs <= outputs.keys()):
        raise ModelUnusableError(
            f"'{path.name}' is another program: it takes {', '.join(inputs)} "
            f"and gives {', '.join(outputs)}",
            f"expected: {', '.join(sorted(contract.inputs))} and "
            f"{', '.join(sorted(contract.outputs))}",
        )
    return program


def _find(folder: Path, name: str) -> Path | None:
    """Return a program of this name; compiled ones are for Macs."""
    suffixes = (".mlmodelc", ".mlpackage")
    preferred = suffixes if binding.runtime() == "coreml" else suffixes[::-1]
    paths = (folder / f"{name}{suffix}" for suffix in preferred)
    return next((path for path in paths if path.is_dir()), None)


def _form(folder: Path) -> str | None:
    """Return what the programs are: compiled, or a package."""
    path = _find(folder, "Encoder") or _find(folder, "Preprocessor")
    return None if path is None else path.suffix[1:]


def _state_shape(decoder: Program) -> tuple[int, ...]:
    """Return (layers, 1, H) of the predictor's state."""
    feature = decoder.description.inputs.get("h_in")
    if feature is None or not feature.shape:
        raise ModelUnusableError("the Decoder does not say how large its state is", HINT)
    return feature.shape


def _blank(spec: BackendSpec, folder: Path) -> int:
    """Return blank, which is never guessed: with a wrong one, words come out that look right.

    Raises `ModelUnusableError` if no manifest states it.
    """
    if spec.blank is not None:
        return spec.blank
    path = own_manifest(folder)
    if path is None:
        raise ModelUnusableError(
            f"no manifest in '{folder}', so which id is blank is not known",
            'write MANIFEST.json with {"blank": 8192} for v3, 1024 for v2 and 110m',
        )
    raise ModelUnusableError(f"'{path}' is not a manifest: 'blank'", HINT)


def _read_vocab(folder: Path, blank: int) -> Vocab:
    names = (name for name in VOCABULARIES if (folder / name).is_file())
    return read_vocab(folder / next(names, VOCABULARIES[0]), blank)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

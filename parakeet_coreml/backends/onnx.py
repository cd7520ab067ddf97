"""Parakeet TDT on ONNX Runtime, in the layout istupakov publishes.

A folder holds `encoder-model.onnx`, `decoder_joint-model.onnx` (or both as `….int8.onnx`) and
`vocab.txt`. Blank and durations are the manifest's, where it states them; else blank is the
vocabulary's. Predictor and joint are one graph:

    encoder        audio_signal (1, 128, T), length (1)                 -> outputs (1, D, T'), …
    decoder_joint  encoder_outputs (1, D, 1), targets (1, 1), states    -> logits, states
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import BackendInfo, BackendSpec
from parakeet_coreml.backends.graphs import (
    VERSION,
    Session,
    State,
    Step,
    check_names,
    integer_of,
    open_session,
    run,
    zeros_of,
)
from parakeet_coreml.backends.transducer.backend import (
    BLOCK,
    HINT,
    Judged,
    Tally,
    TransducerBackend,
    check_logits,
)
from parakeet_coreml.backends.transducer.mel import BINS, log_mel, valid_frames
from parakeet_coreml.backends.transducer.steering import Preferences
from parakeet_coreml.backends.transducer.tdt import Decision, Frames
from parakeet_coreml.backends.transducer.vocab import Vocab, read_vocab
from parakeet_coreml.errors import BackendFailedError, ModelMissingError, ModelUnusableError

_MAX_THREADS = 4  # more gain little on a window of 15 s and take cores from the host
_LOUDER = np.float32(100)
"""A frame so many times greater takes from its neighbours what a scale for 8 bits leaves them."""

_ENCODER_INPUTS = ("audio_signal", "length")
_ENCODER_OUTPUTS = ("outputs", "encoded_lengths")
_DECODER_INPUTS = (
    "encoder_outputs",
    "targets",
    "target_length",
    "input_states_1",
    "input_states_2",
)
_DECODER_OUTPUTS = ("outputs", "output_states_1", "output_states_2")


def open_onnx(spec: BackendSpec) -> tuple[TransducerBackend["Prediction"], BackendInfo]:
    """Load the networks and the vocabulary of a folder, and run them once.

    Raises `ModelMissingError` if a file is absent, `ModelUnusableError` if one is not what its
    name says or they do not fit together.
    """
    began = time.perf_counter()
    folder = Path(spec.directory)
    encoder_path, decoder_path = _find_pair(folder)
    vocab = read_vocab(folder / "vocab.txt", spec.blank)
    blank = _check_vocab(vocab, spec.blank, folder)
    encoder = open_session(encoder_path, threads=min(_MAX_THREADS, _cores()))
    check_names(encoder_path, encoder, _ENCODER_INPUTS, _ENCODER_OUTPUTS)
    decoder = open_session(decoder_path, threads=1)
    check_names(decoder_path, decoder, _DECODER_INPUTS, _DECODER_OUTPUTS)
    networks = OnnxNetworks(encoder, decoder, blank=blank, durations=spec.stated_durations())
    networks.check(folder)
    preferences = Preferences.of(spec, vocab.piece, blank, tells=True)
    info = BackendInfo(
        backend="onnx",
        model=spec.model,
        compute_units="cpu",
        runtime=f"onnxruntime {VERSION}",
        max_samples=MODEL_WINDOW,
        load_ms=round((time.perf_counter() - began) * 1000),
        form="int8" if ".int8" in encoder_path.suffixes else "float32",
        notes=preferences.notes,
    )
    backend = TransducerBackend(
        networks, vocab, max_samples=MODEL_WINDOW, tally=networks.tally, preferences=preferences
    )
    return backend, info


@dataclass(slots=True)
class Prediction:
    """A token for the predictor and the state it meets there.

    The graph steps the predictor only together with the joint, so the step is taken with the first
    `joint` that asks, and `after` is kept for the next token. It is set once and depends on nothing
    but token and state.
    """

    token: int
    state: State
    after: State | None = None
    judged: Judged | None = None


class OnnxNetworks:
    """The `Networks` of `tdt` over two sessions.

    The decoder gets `BLOCK` frames a run, or one where `check` found that a frame's logits depend
    on its neighbours: the int8 graphs scale what they quantise by its greatest value.
    """

    def __init__(
        self,
        encoder: Session,
        decoder: Session,
        *,
        blank: int,
        durations: tuple[int, ...],
    ) -> None:
        self.blank = blank
        self.durations = durations
        self.tally = Tally()
        self._encoder = encoder
        self._decoder = decoder
        self._block = 1
        inputs = {i.name: i for i in decoder.get_inputs()}
        self._zero_state = zeros_of(inputs["input_states_1"]), zeros_of(inputs["input_states_2"])
        self._token_type = integer_of(inputs["targets"])
        self._one = np.ones(1, dtype=integer_of(inputs["target_length"]))
        self._steps: dict[tuple[int, ...], Step] = {}
        features = {i.name: i for i in encoder.get_inputs()}
        self._length_type = integer_of(features["length"])
        _check_bins(features["audio_signal"].shape)

    def encode(self, window: Samples, /) -> Frames:
        """Return the valid encoder frames of a window, shape (frames, D).

        A window without two mel frames has no features and gives none. Raises
        `BackendFailedError`.
        """
        valid = valid_frames(len(window))
        if valid < 2:  # noqa: PLR2004  a deviation takes two
            return np.zeros((0, 1), dtype=np.float32)
        began = time.perf_counter()
        features = log_mel(window)[None]
        self.tally.features = time.perf_counter() - began
        feeds = {
            "audio_signal": features,
            "length": np.array([valid], dtype=self._length_type),
        }
        outputs, lengths = run(self._encoder, _ENCODER_OUTPUTS, feeds)
        return np.ascontiguousarray(outputs[0, :, : int(lengths[0])].T)

    def predict(self, token: int, previous: Prediction | None, /) -> Prediction:
        """Return the prediction for a token after the previous one; the graph runs later."""
        self.tally.predictor += 1
        if previous is None:
            return Prediction(token, self._zero_state)
        if previous.after is None:
            raise ValueError("a prediction was replaced before the joint had seen it")
        return Prediction(token, previous.after)

    def joint(self, ahead: Frames, prediction: Prediction, /) -> Decision:
        """Judge `ahead[0]`, frames of shape (n, D), and keep the results for those behind it.

        Raises `BackendFailedError` at a NaN or infinity.
        """
        if prediction.judged is None or not prediction.judged.reaches(len(ahead)):
            logits = self._logits(ahead[: self._block], prediction)
            prediction.judged = Judged(logits, self.blank, len(ahead))
        return prediction.judged.at(len(ahead))

    def check(self, folder: Path) -> None:
        """Run everything once: that warms up, and shows whether the two graphs fit each other.

        Raises `ModelUnusableError`.
        """
        try:
            frames = self.encode(np.zeros(SAMPLE_RATE, dtype=np.float32))
            if not len(frames):
                raise ModelUnusableError(f"the encoder in {folder} gives no frames", HINT)
            start = self.predict(0, None)  # 0 is a token of any model
            logits = self._logits(frames[:1], start)
            self._block = self._longest_block(frames.shape[1], start)
        except BackendFailedError as e:
            raise ModelUnusableError(
                f"the networks in {folder} do not run: {e.message}", HINT
            ) from e
        check_logits(logits.reshape(-1), self, folder)

    def _longest_block(self, dimension: int, prediction: Prediction) -> int:
        """Return `BLOCK` if the decoder judges a frame beside far louder ones as it does alone."""
        frame = np.linspace(-1, 1, dimension, dtype=np.float32)
        alone = self._logits(frame[None], prediction)[0]
        try:
            beside = self._logits(np.stack([frame, *[frame * _LOUDER] * (BLOCK - 1)]), prediction)
        except BackendFailedError:
            return 1  # a graph for single steps
        return BLOCK if np.allclose(beside[0], alone, atol=1e-3) else 1

    def _logits(self, frames: Frames, prediction: Prediction) -> NDArray[np.float32]:
        """Run predictor and joint; shape (frames, blank + 1 + durations)."""
        self.tally.joint += 1
        step = self._steps.get(frames.shape)
        if step is None:
            feeds = (frames.T[None], [[prediction.token]], self._one, *prediction.state)
            types = np.float32, self._token_type, self._one.dtype, np.float32, np.float32
            arrays = map(np.ascontiguousarray, feeds, types)
            named = dict(zip(_DECODER_INPUTS, arrays, strict=True))
            step = self._steps[frames.shape] = Step(self._decoder, named, _DECODER_OUTPUTS)
        else:
            step.run(self._decoder, frames, prediction.token, prediction.state)
        logits, first, second = step.results
        if prediction.after is None:
            prediction.after = first.copy(), second.copy()
        return logits.reshape(len(frames), -1).copy()


def _find_pair(folder: Path) -> tuple[Path, Path]:
    """Return encoder and decoder, int8 if both are there.

    Whoever put int8 beside float wants it used: it loads four times fewer bytes and decodes faster,
    and its words hardly differ.
    """
    for suffix in (".int8.onnx", ".onnx"):
        pair = folder / f"encoder-model{suffix}", folder / f"decoder_joint-model{suffix}"
        if all(path.is_file() for path in pair):
            return pair
    missing = next(path.name for path in pair if not path.is_file())
    raise ModelMissingError(f"no {missing} in {folder}")


def _check_vocab(vocab: Vocab, blank: int | None, folder: Path) -> int:
    """Return blank. Raises `ModelUnusableError` if it is unknown or an id below it has no piece."""
    blank = vocab.blank if blank is None else blank
    if blank is None:
        raise ModelUnusableError(f"neither vocab.txt nor manifest.json in {folder} names blank")
    missing = next((i for i in range(blank) if i not in vocab.pieces), None)
    if missing is not None:
        raise ModelUnusableError(f"vocab.txt in {folder} has no piece {missing} of {blank}", HINT)
    return blank


def _check_bins(shape: list[int | str | None]) -> None:
    """Compare the features a graph wants with ours; sizes left open are found by `check`."""
    match shape:
        case [_, int(bins), _] if bins != BINS:
            raise ModelUnusableError(f"the encoder wants {bins} mel bins, not {BINS}", HINT)


def _cores() -> int:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

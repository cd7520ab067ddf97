"""Parakeet TDT on ONNX Runtime, in the layout istupakov publishes.

A folder holds `encoder-model.onnx`, `decoder_joint-model.onnx` (or both as `….int8.onnx`) and
`vocab.txt`. Blank and durations are the manifest's, where it states them; else blank is the
vocabulary's. `stepping` has predictor and joint, which are one graph there; beside it is

    encoder        audio_signal (1, 128, T), length (1)                 -> outputs (1, D, T'), …
"""

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import BackendInfo, BackendSpec
from parakeet_coreml.backends.decoder_joint import LOUDER, open_stepper
from parakeet_coreml.backends.graphs import (
    VERSION,
    Session,
    check_names,
    integer_of,
    open_session,
    run,
)
from parakeet_coreml.backends.stepping import Prediction, Stepper
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
_ENCODER_INPUTS = ("audio_signal", "length")
_ENCODER_OUTPUTS = ("outputs", "encoded_lengths")


def open_onnx(spec: BackendSpec) -> tuple[TransducerBackend[Prediction], BackendInfo]:
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
    durations = spec.stated_durations()
    stepper = open_stepper(decoder_path, blank, durations)
    networks = OnnxNetworks(encoder, stepper, blank=blank, durations=durations)
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


class OnnxNetworks:
    """The `Networks` of `tdt` over ONNX graphs.

    The joint gets several frames a run, or one where `check` found that a frame's logits depend
    on its neighbours: the int8 graphs scale what they quantise by its greatest value.
    """

    def __init__(
        self,
        encoder: Session,
        stepper: Stepper,
        *,
        blank: int,
        durations: tuple[int, ...],
    ) -> None:
        self.blank = blank
        self.durations = durations
        self.tally = Tally()
        self._encoder = encoder
        self._stepper = stepper
        self._block = 1
        self._start: Prediction | None = None
        self._prepared: Frames | None = None
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
        """Return the prediction for a token after the previous one; it is computed later."""
        self.tally.predictor += 1
        if previous is None:
            return self._first(token)
        if previous.after is None:
            raise ValueError("a prediction was replaced before the joint had seen it")
        return Prediction(token, previous.after)

    def _first(self, token: int) -> Prediction:
        """Return the prediction of a window's start, which is the same for all windows."""
        self._prepared = None
        if self._start is None or self._start.token != token:
            self._start = Prediction(token, self._stepper.zero)
        self._start.judged = None
        return self._start

    def joint(self, ahead: Frames, prediction: Prediction, /) -> Decision:
        """Judge `ahead[0]`, frames of shape (n, D), and keep the results for those behind it.

        Raises `BackendFailedError` at a NaN or infinity.
        """
        if prediction.judged is None or not prediction.judged.reaches(len(ahead)):
            rows = self._rows(ahead)
            places = self._stepper.foreseen(rows, prediction) if self._block > 1 else (0,)
            logits = self._logits(rows[list(places)], prediction)
            prediction.judged = Judged(logits, self.blank, len(ahead), places)
        return prediction.judged.at(len(ahead))

    def _rows(self, ahead: Frames) -> Frames:
        """Return frames as the stepper takes them; of a window, all are made at once."""
        if self._prepared is None or len(self._prepared) < len(ahead):
            self._prepared = self._stepper.prepared(ahead)
        return self._prepared[len(self._prepared) - len(ahead) :]

    def check(self, folder: Path) -> None:
        """Run everything once: that warms up, and shows whether the two graphs fit each other.

        Raises `ModelUnusableError`.
        """
        try:
            frames = self.encode(np.zeros(SAMPLE_RATE, dtype=np.float32))
            if not len(frames):
                raise ModelUnusableError(f"the encoder in {folder} gives no frames", HINT)
            start = self.predict(0, None)  # 0 is a token of any model
            logits = self._logits(self._stepper.prepared(frames[:1]), start)
            self._block = self._longest_block(frames.shape[1], start)
        except BackendFailedError as e:
            raise ModelUnusableError(
                f"the networks in {folder} do not run: {e.message}", HINT
            ) from e
        check_logits(logits.reshape(-1), self, folder)

    def _longest_block(self, dimension: int, prediction: Prediction) -> int:
        """Return `BLOCK` if the joint judges a frame beside far louder ones as it does alone."""
        frame = np.linspace(-1, 1, dimension, dtype=np.float32)
        frames = self._stepper.prepared(np.stack([frame, *[frame * LOUDER] * (BLOCK - 1)]))
        alone = self._logits(frames[:1], prediction)[0]
        try:
            beside = self._logits(frames, prediction)
        except BackendFailedError:
            return 1  # a graph for single steps
        return BLOCK if np.allclose(beside[0], alone, atol=1e-3) else 1

    def _logits(self, frames: Frames, prediction: Prediction) -> NDArray[np.float32]:
        """Run predictor and joint; shape (frames, blank + 1 + durations)."""
        self.tally.joint += 1
        return self._stepper.logits(frames, prediction)


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

"""A backend out of three networks: what Core ML, ONNX Runtime and MLX share."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import FRAME, Samples
from parakeet_coreml.backends.base import Hypothesis, Token, Work
from parakeet_coreml.backends.transducer.steering import Preferences
from parakeet_coreml.backends.transducer.tdt import Candidates, Decision, Emission, Networks, greedy
from parakeet_coreml.backends.transducer.vocab import Vocab
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError

HINT = "`parakeet-coreml models verify` checks a download; copy or convert one of your own anew"

P = TypeVar("P")


@dataclass(slots=True)
class Tally:
    """What networks count and time of themselves, since the start of a window."""

    features: float | None = None
    """Seconds; None where the encoder's graph computes them."""
    predictor: int = 0
    joint: int = 0

    def work(self, encoded: float, searched: float) -> Work:
        """Return the work of a window, of seconds for encoding, features included, and search."""
        encoder = encoded - (self.features or 0.0)
        return Work(self.features, encoder, searched, self.predictor, self.joint)


BLOCK = 6
"""Frames that one call of a joint judges, where it takes several.

Most frames are blank, and a blank leaves the prediction as it is: one call in two is left. A call
of six takes 1.1 to 1.2 times as long as one of one; of four or eight, speech took longer.
"""


class Judged:
    """What a joint returned for `logits`' frames, shape (frames, n), beside one prediction.

    `places` says which frames they are, from 0 on, where they are not one behind the other. Of each
    the best token up to `blank` and the best duration behind it. Raises `BackendFailedError` at a
    NaN or infinity.
    """

    __slots__ = ("_blank", "_durations", "_left", "_logits", "_places", "_tokens")

    def __init__(
        self,
        logits: NDArray[np.float32],
        blank: int,
        left: int,
        places: Sequence[int] | None = None,
    ) -> None:
        if not math.isfinite(np.vdot(logits, logits)):  # one that is no number makes it none
            raise BackendFailedError("the joint network gave a value that is no number")
        self._logits = logits[:, : blank + 1]
        self._tokens: list[int] = self._logits.argmax(1).tolist()
        self._durations: list[list[float]] = logits[:, blank + 1 :].tolist()
        self._blank = blank
        self._places = range(len(logits)) if places is None else places
        self._left = left  # frames of the window from the first of these on

    def reaches(self, left: int) -> bool:
        """Whether the frame that so many are left from is among these."""
        return self._left - left in self._places

    def at(self, left: int) -> Decision:
        """Return what was decided where so many frames are left."""
        row = self._places.index(self._left - left)
        token = self._tokens[row]
        durations = self._durations[row]  # so few that Python finds the best of them sooner
        logits = self._logits[row]
        sure = 1.0 if token == self._blank else probability(token, logits)
        return Decision(token, sure, durations.index(max(durations)), Candidates(logits))


def probability(token: int, logits: NDArray[np.float32]) -> float:
    """Return the softmax probability of a token over all `logits`, shape (n,)."""
    return 1.0 / float(np.exp(logits - logits[token]).sum())


def check_logits(logits: NDArray[np.float32], networks: Networks[P], folder: Path) -> None:
    """Raise `ModelUnusableError` unless there is one logit for each token and each duration."""
    tokens, durations = networks.blank + 1, len(networks.durations)
    if logits.shape != (tokens + durations,):
        raise ModelUnusableError(
            f"the joint network in '{folder}' gives {logits.size} values, not {tokens + durations}:"
            f" {tokens} tokens with blank and {durations} durations",
            HINT,
        )


class TransducerBackend(Generic[P]):
    """Keeps the `Backend` protocol over given networks. Runtimes bring networks, not loops."""

    def __init__(  # noqa: PLR0913  each a part of it, by name
        self,
        networks: Networks[P],
        vocab: Vocab,
        *,
        max_samples: int,
        preferences: Preferences | None = None,
        close: Callable[[], None] = lambda: None,
        tally: Tally | None = None,
    ) -> None:
        self._networks: Networks[P] | None = networks
        self._vocab = vocab
        self._max_samples = max_samples
        self._preferences = preferences or Preferences(networks.blank)
        self._close = close
        self._tally = tally

    @property
    def max_samples(self) -> int:
        """Longest window one call accepts, in samples at 16 kHz."""
        return self._max_samples

    def transcribe(self, window: Samples, /) -> Hypothesis:
        """Transcribe one window of shape (n,), 1 to `max_samples` samples.

        Tokens without text are left out, though the predictor saw them; no token reaches past the
        window. Raises `ValueError` for another length or after `close`, and what the networks
        raise.
        """
        if self._networks is None:
            raise ValueError("the backend is closed")
        if window.ndim != 1 or not 1 <= len(window) <= self._max_samples:
            raise ValueError(f"a window of shape {window.shape}, not of 1 to {self._max_samples}")
        steering = self._preferences.for_window()
        tally = self._tally or Tally()
        tally.features, tally.predictor, tally.joint = None, 0, 0
        began = time.perf_counter()
        frames = self._networks.encode(window)
        encoded = time.perf_counter()
        emissions = greedy(self._networks, frames, steering)
        searched = time.perf_counter()
        tokens = (self._token(emission, len(window)) for emission in emissions)
        work = tally.work(encoded - began, searched - encoded) if self._tally else None
        spoken = [token for token in tokens if token.piece]
        return Hypothesis(tuple(self._preferences.written(spoken)), work)

    def close(self) -> None:
        """Let the networks go. A second call does nothing."""
        if self._networks is not None:
            self._networks = None
            self._close()

    def _token(self, emission: Emission, samples: int) -> Token:
        start = min(emission.frame * FRAME, samples - 1)
        return Token(
            id=emission.token,
            piece=self._vocab.piece(emission.token),
            start=start,
            duration=min(emission.duration * FRAME, samples - start),
            probability=emission.probability,
        )

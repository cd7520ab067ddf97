"""What steps a predictor and judges frames with a joint, whoever computes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.backends.transducer.backend import Judged
from parakeet_coreml.backends.transducer.tdt import Frames

State = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Of the predictor's LSTM, each of shape (layers, 1, hidden). Never written to."""


@dataclass(slots=True)
class Prediction:
    """A token for the predictor and the state it meets there.

    The step is taken with the first `joint` that asks: a graph of both takes it only then, and
    nobody asks about the last token. What it gave, `output` and the state `after`, is set once and
    depends on nothing but token and state.
    """

    token: int
    state: State
    output: NDArray[np.float32] | None = None
    after: State | None = None
    judged: Judged | None = None


class Stepper(Protocol):
    """Steps the predictor and judges frames."""

    @property
    def zero(self) -> State:
        """The state before the first token."""
        ...

    def prepared(self, frames: Frames, /) -> Frames:
        """Return frames as `logits` takes them, a row each. Raises `BackendFailedError`."""
        ...

    def foreseen(self, frames: Frames, prediction: Prediction, /) -> Sequence[int]:
        """Return which of `prepared` frames to judge at once, the first and some behind it.

        Best are those that the search comes to if all are blank. Raises `BackendFailedError`.
        """
        ...

    def logits(self, frames: Frames, prediction: Prediction, /) -> NDArray[np.float32]:
        """Judge `prepared` frames beside a prediction, and step it if nobody did.

        Shape (frames, blank + 1 + durations). Raises `BackendFailedError`.
        """
        ...

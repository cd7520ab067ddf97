"""Greedy token-and-duration decoding over given networks. Pure.

After the greedy search of Xu et al., "Efficient Sequence Transduction by Jointly Predicting Tokens
and Durations" (2023):

    t = 0; prediction = predict(blank)
    while t < frames:
        token, duration = joint(frame[t], prediction)
        if token is not blank: emit it; prediction = predict(token)
        t += duration

The corners, where implementations differ, are settled like this:

* blank with duration 0 advances one frame: nothing has changed, so asking again cannot help;
* a token with duration 0 stays on its frame; after `MAX_SYMBOLS` tokens on one frame the search
  moves on by one, but only if the last duration was 0, and the count starts anew when t moves;
* a token whose duration passes the last frame is kept, and no step is taken past the end:
  flushing beyond it invents words;
* the predictor runs once for the start and once for each token, never for a blank.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import Samples

MAX_SYMBOLS = 10
"""Tokens allowed on one frame before the search is forced on."""

Frames = NDArray[np.float32]
"""Encoder output of shape (frames, dimension), valid frames only."""

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Decision:
    """What the joint network says of one frame and one prediction."""

    token: int
    probability: float
    """Softmax probability of the token over vocabulary and blank; nobody asks it of blank."""
    duration_index: int
    """Index into the model's durations, by its own logits alone."""


@dataclass(frozen=True, slots=True)
class Emission:
    """A token at an encoder frame. `duration` counts frames."""

    token: int
    frame: int
    duration: int
    probability: float


class Networks(Protocol[P]):
    """The three networks of a transducer. `P` is a prediction with the predictor's state in it."""

    @property
    def blank(self) -> int:
        """Id of blank, which also starts the predictor."""
        ...

    @property
    def durations(self) -> tuple[int, ...]:
        """Encoder frames to advance by, for each duration index."""
        ...

    def encode(self, window: Samples, /) -> Frames:
        """Return the valid encoder frames of a window."""
        ...

    def predict(self, token: int, previous: P | None, /) -> P:
        """Step the predictor; `previous` None is the zero state."""
        ...

    def joint(self, ahead: Frames, prediction: P, /) -> Decision:
        """Judge `ahead[0]`, an encoder frame, beside one prediction.

        `ahead` is what is left of one window's frames, so its length says where the search is. A
        network may judge some frames behind the first in the same call and keep that with the
        prediction: a blank leaves it as it is, so it is asked about them next.
        """
        ...


def greedy(networks: Networks[P], frames: Frames) -> list[Emission]:
    """Return the best token at each step, in order."""
    emissions: list[Emission] = []
    prediction = networks.predict(networks.blank, None)
    t = symbols = 0
    while t < len(frames):
        decision = networks.joint(frames[t:], prediction)
        duration = networks.durations[decision.duration_index]
        if decision.token == networks.blank:
            duration = max(duration, 1)
        else:
            emissions.append(Emission(decision.token, t, duration, decision.probability))
            prediction = networks.predict(decision.token, prediction)
            symbols += 1
            if duration == 0 and symbols >= MAX_SYMBOLS:
                duration = 1
        if duration:
            t += duration
            symbols = 0
    return emissions

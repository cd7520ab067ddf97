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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import Samples

MAX_SYMBOLS = 10
"""Tokens allowed on one frame before the search is forced on."""

PATIENCE = 12
"""Frames without a token after which nothing more comes of a term that has begun: one second."""

Frames = NDArray[np.float32]
"""Encoder output of shape (frames, dimension), valid frames only."""

P = TypeVar("P")


@dataclass(slots=True, eq=False)
class Candidates:
    """Tokens a joint network had in mind, with their logits, both of shape (n,)."""

    logits: NDArray[np.float32]
    ids: NDArray[np.int32] | None = None
    """None where the logits are those of every token, blank last."""


@dataclass(slots=True)
class Decision:
    """What the joint network says of one frame and one prediction."""

    token: int
    probability: float
    """Softmax probability of the token over vocabulary and blank; nobody asks it of blank."""
    duration_index: int
    """Index into the model's durations, by its own logits alone."""
    candidates: Candidates | None = field(default=None, compare=False, repr=False)
    """None where the network returns its choice alone."""


@dataclass(slots=True)
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


class Trial(Protocol):
    """Leads the search away from the model's choices, and says whether that came to anything."""

    @property
    def whole(self) -> bool:
        """Whether what was tried is there, or was when the trial ended."""
        ...

    def chosen(self, decision: Decision, /) -> Decision | None:
        """Return the decision, or one for another token; None, before it, where the trial ends."""
        ...


class Steering(Protocol):
    """Prefers some tokens to others within one window. Durations stay the model's."""

    def chosen(self, decision: Decision, /) -> Decision:
        """Return the decision, or one for another token."""
        ...

    def trials(self, tokens: Sequence[int], begin: int, /) -> Iterable[tuple[int, Trial]]:
        """Give what to try instead of `tokens[i:]`, each with its i, `begin` or more, in order."""
        ...


def greedy(
    networks: Networks[P], frames: Frames, steering: Steering | None = None
) -> list[Emission]:
    """Return the best token at each step, in order; with `steering`, where it leads."""
    walk = _Walk(networks, networks.predict(networks.blank, None))
    if steering is not None:
        return _steered(walk, networks, frames, steering)
    while walk.t < len(frames):
        walk.step(networks.joint(frames[walk.t :], walk.prediction))
    return walk.emissions


class _Walk(Generic[P]):
    """Where a search is, and where it was before each token."""

    __slots__ = ("_durations", "_networks", "before", "emissions", "prediction", "symbols", "t")

    def __init__(self, networks: Networks[P], prediction: P) -> None:
        self._networks = networks
        self._durations = networks.durations
        self.emissions: list[Emission] = []
        self.before: list[tuple[P, int]] = []
        """Prediction and symbols, of each emission."""
        self.prediction = prediction
        self.t = self.symbols = 0

    def step(self, decision: Decision) -> None:
        """Write the token unless it is blank, and go on by the duration."""
        duration = self._durations[decision.duration_index]
        if decision.token == self._networks.blank:
            duration = max(duration, 1)
        else:
            emission = Emission(decision.token, self.t, duration, decision.probability)
            self.emissions.append(emission)
            self.before.append((self.prediction, self.symbols))
            self.prediction = self._networks.predict(decision.token, self.prediction)
            self.symbols += 1
            if duration == 0 and self.symbols >= MAX_SYMBOLS:
                duration = 1
        if duration:
            self.t += duration
            self.symbols = 0

    def back(self, count: int) -> "_Walk[P]":
        """Return the search as it was when it wrote its token number `count`, from 0."""
        prediction, symbols = self.before[count]
        walk = _Walk(self._networks, prediction)
        walk.emissions, walk.before = self.emissions[:count], self.before[:count]
        walk.t, walk.symbols = self.emissions[count].frame, symbols
        return walk


def _steered(
    walk: _Walk[P], networks: Networks[P], frames: Frames, steering: Steering
) -> list[Emission]:
    """Search the model's own way first; then try what may stand where something like it does.

    A greedy search cannot take back what a term was given that did not come about. Here such a
    trial is dropped, and where nothing is tried the search is the one without.
    """
    begin = 0
    while True:
        while walk.t < len(frames):
            walk.step(steering.chosen(networks.joint(frames[walk.t :], walk.prediction)))
        for at, trial in steering.trials([e.token for e in walk.emissions], begin):
            tried = walk.back(at)
            if _came_about(tried, trial, networks, frames, steering):
                break
        else:
            return walk.emissions
        walk, begin = tried, len(tried.emissions)


def _came_about(
    walk: _Walk[P], trial: Trial, networks: Networks[P], frames: Frames, steering: Steering
) -> bool:
    """Whether what is tried comes before the window ends, or patience."""
    last = walk.t
    while walk.t < len(frames) and walk.t - last <= PATIENCE:
        decision = networks.joint(frames[walk.t :], walk.prediction)
        chosen = trial.chosen(steering.chosen(decision))
        if chosen is None:
            break
        if chosen.token != networks.blank:
            last = walk.t
        walk.step(chosen)
    return trial.whole

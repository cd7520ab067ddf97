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


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Tokens a joint network had in mind, with their logits, both of shape (n,)."""

    logits: NDArray[np.float32]
    ids: NDArray[np.int32] | None = None
    """None where the logits are those of every token, blank last."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the joint network says of one frame and one prediction."""

    token: int
    probability: float
    """Softmax probability of the token over vocabulary and blank; nobody asks it of blank."""
    duration_index: int
    """Index into the model's durations, by its own logits alone."""
    candidates: Candidates | None = field(default=None, compare=False, repr=False)
    """None where the network returns its choice alone."""


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


class Steering(Protocol):
    """Prefers some tokens to others within one window, and takes back what came to nothing.

    Durations stay the model's.
    """

    @property
    def trying(self) -> bool:
        """Whether the model was led away from its own choice and it is open what comes of it."""
        ...

    @property
    def failed(self) -> bool:
        """Whether what was tried came to nothing."""
        ...

    def chosen(self, decision: Decision, /, *, led: bool) -> Decision:
        """Return the decision, or one for another token; `led` False leaves it at the model's."""
        ...

    def emitted(self, token: int, /) -> None:
        """Follow what was written."""
        ...

    def end(self) -> None:
        """Nothing more comes for what is being tried: it has come about, or failed."""
        ...

    def mark(self) -> object:
        """Return what `back` takes, before a token that was led to is written."""
        ...

    def back(self, mark: object, /) -> None:
        """Forget all that was written since."""
        ...


def greedy(
    networks: Networks[P], frames: Frames, steering: Steering | None = None
) -> list[Emission]:
    """Return the best token at each step, in order; with `steering`, where it leads."""
    if steering is not None:
        return _Steered(networks, frames, steering).emissions()
    walk = _Walk(networks)
    while walk.t < len(frames):
        walk.step(networks.joint(frames[walk.t :], walk.prediction))
    return walk.emissions


class _Walk(Generic[P]):
    """Where a search is."""

    __slots__ = ("_durations", "_networks", "emissions", "prediction", "symbols", "t")

    def __init__(self, networks: Networks[P]) -> None:
        self._networks = networks
        self._durations = networks.durations
        self.emissions: list[Emission] = []
        self.prediction = networks.predict(networks.blank, None)
        self.t = self.symbols = 0

    def step(self, decision: Decision) -> None:
        """Write the token unless it is blank, and go on by the duration."""
        duration = self._durations[decision.duration_index]
        if decision.token == self._networks.blank:
            duration = max(duration, 1)
        else:
            emission = Emission(decision.token, self.t, duration, decision.probability)
            self.emissions.append(emission)
            self.prediction = self._networks.predict(decision.token, self.prediction)
            self.symbols += 1
            if duration == 0 and self.symbols >= MAX_SYMBOLS:
                duration = 1
        if duration:
            self.t += duration
            self.symbols = 0


class _Steered(Generic[P]):
    """A search that is led away from the model's choice on trial.

    A greedy search cannot pay back what a term was given that did not come about. This one returns
    to where it was led away and goes the model's own way from there, so each place is tried once.
    """

    def __init__(self, networks: Networks[P], frames: Frames, steering: Steering) -> None:
        self._networks = networks
        self._frames = frames
        self._steering = steering
        self._walk = _Walk(networks)
        self._saved: tuple[int, int, P, int, object] | None = None
        """Where the model was led away: frame, symbols, prediction, emissions and mark."""

    def emissions(self) -> list[Emission]:
        """Search to the end."""
        walk, steering, led = self._walk, self._steering, True
        while walk.t < len(self._frames) or self._saved is not None:
            if self._waits_in_vain():
                steering.end()
            else:
                decision = self._networks.joint(self._frames[walk.t :], walk.prediction)
                decision = steering.chosen(decision, led=led)
                if steering.trying and self._saved is None:
                    place = walk.t, walk.symbols, walk.prediction, len(walk.emissions)
                    self._saved = *place, steering.mark()
                walk.step(decision)
                if decision.token != self._networks.blank:
                    steering.emitted(decision.token)
            led = not steering.failed
            if not led:
                self._return()
            elif not steering.trying:
                self._saved = None
        return walk.emissions

    def _waits_in_vain(self) -> bool:
        """Whether what is tried has come to the end of the window, or of patience."""
        walk = self._walk
        if self._saved is None:
            return False
        since = walk.emissions[-1].frame if walk.emissions else walk.t
        return walk.t >= len(self._frames) or walk.t - since > PATIENCE

    def _return(self) -> None:
        walk = self._walk
        if self._saved is not None:
            walk.t, walk.symbols, walk.prediction, count, mark = self._saved
            del walk.emissions[count:]
            self._steering.back(mark)
            self._saved = None

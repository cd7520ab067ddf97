"""Predictor and joint on ONNX Runtime: taken apart, or in one where that cannot be done.

    decoder_joint  encoder_outputs (1, D, n), targets (1, 1), states    -> logits, states

Apart, the predictor runs once for each token, the joint alone for frames behind a blank, and what
it makes of frames whatever the token is made once. Small ones are computed in NumPy.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.backends.graphs import (
    Bound,
    Session,
    check_names,
    integer_of,
    open_session,
    run,
    zeros_of,
)
from parakeet_coreml.backends.parts import Parts, read_parts
from parakeet_coreml.backends.small import CONSTANTS, OPERATORS, SHAPING, Small
from parakeet_coreml.backends.stepping import Prediction, Stepper
from parakeet_coreml.backends.transducer.backend import BLOCK
from parakeet_coreml.backends.transducer.tdt import Frames
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError

FRAMES = "encoder_outputs"
OTHERS = ("targets", "target_length", "input_states_1", "input_states_2")
LOGITS = "outputs"
STATES = ("output_states_1", "output_states_2")

LARGEST = 1 << 28
"""Bytes of a graph that is taken apart; the published ones have 73 MB."""

LOUDER = np.float32(100)
"""A frame so many times greater takes from its neighbours what a scale for 8 bits leaves them."""

SMALL = 1 << 22
"""Bytes of a graph that is worth computing without ONNX Runtime."""


def open_stepper(path: Path, blank: int, durations: tuple[int, ...]) -> Stepper:
    """Load a graph of predictor and joint. Raises `ModelUnusableError`.

    Without `blank` and `durations` of the model it is slower, and gives the same.
    """
    parts = _read(path)
    if parts is None:
        return _whole(path)
    try:
        return _small(path, parts, blank) or _parted(path, parts, blank, durations)
    except (ModelUnusableError, BackendFailedError):
        return _whole(path)  # what is wrong with it, or with the cuts, the whole will show


def _whole(path: Path) -> "Whole":
    session = open_session(path, threads=1)
    check_names(path, session, (FRAMES, *OTHERS), (LOGITS, *STATES))
    return Whole(session)


def _read(path: Path) -> Parts | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
        model = path.read_bytes()
    except OSError:
        return None
    return read_parts(model, frames=FRAMES, logits=LOGITS, others=OTHERS, states=STATES)


def _small(path: Path, parts: Parts, blank: int) -> Small | None:
    """Return None for graphs that are not small, or give anything else than `Small` does."""
    if path.stat().st_size > SMALL or parts.projected is None:
        return None
    found = (
        *parts.steps(OTHERS, (parts.predicted, *STATES)),
        *parts.steps((FRAMES,), (parts.projected,)),
        *parts.steps((parts.projected, parts.predicted), (LOGITS,)),
    )
    steps = [step for step in found if step[0] not in SHAPING]
    names = tuple(name for _, constants in steps for name in constants)
    if tuple(operator for operator, _ in steps) != OPERATORS or len(set(names)) != CONSTANTS:
        return None
    wanted = (LOGITS, *STATES, *names)
    session = open_session(path, threads=1, part=parts.between((FRAMES, *OTHERS), wanted))
    width = _width(session)
    if width is None:
        return None
    takes = _Takes(session)
    frames = _numbers(BLOCK, width)
    state = tuple(_numbers(*part.shape) for part in takes.zero)
    prediction = Prediction(1, (state[0], state[1]))
    feeds = {**takes.feeds(prediction), FRAMES: _columns(frames)}
    logits, first, second, *constants = run(session, wanted, feeds)
    try:
        small = Small(constants)
        gives = small.logits(small.prepared(frames), prediction), *(prediction.after or ())
    except (ValueError, IndexError):  # constants of other shapes, or in another order
        return None
    if small.tokens <= blank:  # the runtime says of a token that is none what is wrong
        return None
    return small if all(map(_same, gives, (logits.reshape(BLOCK, -1), first, second))) else None


def _numbers(*shape: int) -> NDArray[np.float32]:
    """Return numbers that nothing repeats; to import NumPy's random ones takes 10 ms."""
    places = np.arange(math.prod(shape), dtype=np.float32)
    return np.asarray(np.sin(places**1.5), np.float32).reshape(shape)


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-4, atol=1e-4)


def _parted(path: Path, parts: Parts, blank: int, durations: tuple[int, ...]) -> "Parted":
    def opened(part: bytes) -> Session:
        return open_session(path, threads=1, part=part)

    predictor = opened(parts.between(OTHERS, (parts.predicted, *STATES)))
    name = parts.projected
    projection = None if name is None else opened(parts.between((FRAMES,), (name,)))
    rows = Rows.of(projection, name) if projection and name else None
    takes = (rows.name if rows else FRAMES, parts.predicted)
    joint = Joint(opened(parts.between(takes, (LOGITS,))), takes, rows)
    foresight = None
    width = blank + 1 + len(durations)
    narrow = parts.last(len(durations), width, takes, (LOGITS,)) if rows else None
    if narrow:
        with suppress(ModelUnusableError):  # what is cut down may not fit the rest
            foresight = Foresight(Joint(opened(narrow), takes, rows), durations)
    return Parted(predictor, joint, parts.predicted, rows, foresight)


# Apart


class Rows:
    """What the joint makes of frames whatever the token: a row for each frame."""

    def __init__(self, session: Session, name: str, frame: int, axes: int) -> None:
        self.name = name
        self._session = session
        self._frame = frame  # the axis of the tensor that counts frames; the last counts its width
        self._axes = axes

    @classmethod
    def of(cls, session: Session, name: str) -> "Rows | None":
        """Return None unless each row is of one frame alone, however loud those beside it are.

        Graphs of 8 bits scale what they quantise by its greatest value.
        """
        width = _width(session)
        if width is None:
            return None
        frame = np.linspace(-1, 1, width, dtype=np.float32)
        alone = _projected(session, name, frame[None])
        beside = _projected(session, name, np.stack([frame, frame * LOUDER, frame * LOUDER]))
        last = alone.size
        if alone.shape[-1] != last or beside.shape[-1] != last or beside.size != 3 * last:
            return None
        if not np.allclose(beside.reshape(3, last)[0], alone.reshape(last), atol=1e-3):
            return None
        return cls(session, name, beside.shape.index(3), beside.ndim)

    def made(self, frames: Frames) -> Frames:
        """Return rows, one for each frame. Raises `BackendFailedError`."""
        return _projected(self._session, self.name, frames).reshape(len(frames), -1)

    def shape(self, rows: Frames) -> tuple[int, ...]:
        """Return the shape in which the joint takes rows."""
        shape = [1] * self._axes
        shape[self._frame], shape[-1] = rows.shape
        return tuple(shape)


def _projected(session: Session, name: str, frames: Frames) -> NDArray[np.float32]:
    return run(session, (name,), {FRAMES: _columns(frames)})[0]


class Joint:
    """A joint alone, or a part of it."""

    def __init__(self, session: Session, names: tuple[str, str], rows: Rows | None) -> None:
        self._session = session
        self._names = names
        self._rows = rows
        self._blocks: dict[tuple[int, ...], Bound] = {}

    def of(self, frames: Frames, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what it gives for each frame, until the next call. Raises `BackendFailedError`."""
        block = self._blocks.get(frames.shape)
        given = frames.reshape(self._rows.shape(frames)) if self._rows else frames.T[None]
        if block is None:
            feeds = dict(zip(self._names, (given, predicted), strict=True))
            block = self._blocks[frames.shape] = Bound(self._session, feeds, (LOGITS,))
        else:
            first, second = block.feeds
            first[:], second[:] = given, predicted
            block.run()
        return block.results[0].reshape(len(frames), -1)


class Foresight:
    """Where the search comes, frame by frame, while there are blanks: durations, known alone.

    They are 5 of v3's 8,198 logits. To judge a frame that is passed over costs as much as another,
    and to judge too few one more call, which reads all weights again.
    """

    AHEAD = 3
    """Frames to judge at once: most often there is a token among so many."""

    REACH = 9
    """Frames among which they are: the longest duration is 4."""

    def __init__(self, joint: Joint, durations: tuple[int, ...]) -> None:
        self._joint: Joint | None = joint
        self._durations = durations

    def path(self, frames: Frames, predicted: NDArray[np.float32]) -> Sequence[int]:
        """Return the first frame and those that follow if all are blank, up to `AHEAD`."""
        frames = frames[: self.REACH]
        if self._joint is None:
            return range(min(BLOCK, len(frames)))
        found = self._joint.of(frames, predicted)
        if found.shape[1] != len(self._durations):  # the rest of the graph gives something else
            self._joint = None
            return self.path(frames, predicted)
        best = found.argmax(1).tolist()
        places = [0]
        while len(places) < self.AHEAD:
            place = places[-1] + max(1, self._durations[best[places[-1]]])
            if place >= len(frames):
                break
            places.append(place)
        return places


class Parted:
    """Predictor and joint by themselves."""

    def __init__(
        self,
        predictor: Session,
        joint: Joint,
        predicted: str,
        rows: Rows | None,
        foresight: Foresight | None,
    ) -> None:
        self._takes = _Takes(predictor)
        self.zero = self._takes.zero
        self._predictor = predictor
        self._joint = joint
        self._gives = predicted, *STATES
        self._rows = rows
        self._foresight = foresight
        self._step: Bound | None = None

    def prepared(self, frames: Frames, /) -> Frames:
        """See `Stepper`."""
        return self._rows.made(frames) if self._rows else frames

    def foreseen(self, frames: Frames, prediction: Prediction, /) -> Sequence[int]:
        """See `Stepper`."""
        if self._foresight is None:
            return range(min(BLOCK, len(frames)))
        return self._foresight.path(frames, self._predicted(prediction))

    def logits(self, frames: Frames, prediction: Prediction, /) -> NDArray[np.float32]:
        """See `Stepper`."""
        return self._joint.of(frames, self._predicted(prediction)).copy()

    def _predicted(self, prediction: Prediction) -> NDArray[np.float32]:
        if prediction.output is not None:
            return prediction.output
        if self._step is None:
            self._step = Bound(self._predictor, self._takes.feeds(prediction), self._gives)
        else:
            self._takes.fill(self._step.feeds, prediction)
            self._step.run()
        output, first, second = self._step.results
        prediction.output = output.copy()
        prediction.after = first.copy(), second.copy()
        return prediction.output


class _Takes:
    """What a graph with a predictor in it takes beside frames."""

    def __init__(self, session: Session) -> None:
        inputs = {i.name: i for i in session.get_inputs()}
        self.zero = zeros_of(inputs["input_states_1"]), zeros_of(inputs["input_states_2"])
        self._token_type = integer_of(inputs["targets"])
        length = inputs.get("target_length")  # nothing in a predictor by itself may ask for it
        self._length = {} if length is None else {length.name: np.ones(1, integer_of(length))}

    def feeds(self, prediction: Prediction) -> dict[str, NDArray[Any]]:
        """Return its inputs by name, in an order that `fill` knows."""
        token = np.array([[prediction.token]], self._token_type)
        first, second = prediction.state
        states = {"input_states_1": first, "input_states_2": second}
        return {"targets": token, **states, **self._length}

    def fill(self, feeds: list[NDArray[Any]], prediction: Prediction) -> None:
        """Write another prediction's."""
        token, first, second, *_ = feeds
        token[0, 0] = prediction.token
        first[:], second[:] = prediction.state


# In one


class Whole:
    """Predictor and joint in one graph, which steps the one whenever the other is asked."""

    def __init__(self, session: Session) -> None:
        self._takes = _Takes(session)
        self.zero = self._takes.zero
        self._session = session
        self._blocks: dict[tuple[int, ...], Bound] = {}

    def prepared(self, frames: Frames, /) -> Frames:
        """See `Stepper`."""
        return frames

    def foreseen(self, frames: Frames, _prediction: Prediction, /) -> Sequence[int]:
        """See `Stepper`."""
        return range(min(BLOCK, len(frames)))

    def logits(self, frames: Frames, prediction: Prediction, /) -> NDArray[np.float32]:
        """See `Stepper`."""
        block = self._blocks.get(frames.shape)
        if block is None:
            feeds = {**self._takes.feeds(prediction), FRAMES: _columns(frames)}
            block = Bound(self._session, feeds, (LOGITS, *STATES))
            self._blocks[frames.shape] = block
        else:
            self._takes.fill(block.feeds, prediction)
            block.feeds[-1][0] = frames.T
            block.run()
        logits, first, second = block.results
        if prediction.after is None:
            prediction.after = first.copy(), second.copy()
        return logits.reshape(len(frames), -1).copy()


def _width(session: Session) -> int | None:
    """Return how many numbers a frame has; None where the graph leaves that open."""
    match next(i.shape for i in session.get_inputs() if i.name == FRAMES):
        case [_, int(width), _]:
            return width
    return None


def _columns(frames: Frames) -> NDArray[np.float32]:
    """Return frames as the graph has them, shape (1, D, frames)."""
    return np.ascontiguousarray(frames.T[None])

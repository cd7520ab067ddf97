"""Predictor and joint on ONNX Runtime: taken apart, or in one where that cannot be done.

    decoder_joint  encoder_outputs (1, D, n), targets (1, 1), states    -> logits, states

Apart, the predictor runs once for each token, the joint alone for frames behind a blank, and what
it makes of frames whatever the token is made once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
from parakeet_coreml.backends.transducer.backend import Judged
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

    def logits(self, frames: Frames, prediction: Prediction, /) -> NDArray[np.float32]:
        """Judge `prepared` frames beside a prediction, and step it if nobody did.

        Shape (frames, blank + 1 + durations). Raises `BackendFailedError`.
        """
        ...


def open_stepper(path: Path) -> Stepper:
    """Load a graph of predictor and joint. Raises `ModelUnusableError`."""
    parts = _read(path)
    if parts is not None:
        try:
            return _parted(path, parts)
        except (ModelUnusableError, BackendFailedError):
            pass  # what is wrong with it, or with the cuts, the whole will show
    whole = open_session(path, threads=1)
    check_names(path, whole, (FRAMES, *OTHERS), (LOGITS, *STATES))
    return Whole(whole)


def _read(path: Path) -> Parts | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
        model = path.read_bytes()
    except OSError:
        return None
    return read_parts(model, frames=FRAMES, logits=LOGITS, others=OTHERS, states=STATES)


def _parted(path: Path, parts: Parts) -> "Parted":
    def part(given: tuple[str, ...], *wanted: str) -> Session:
        return open_session(path, threads=1, part=parts.between(given, wanted))

    predictor = part(OTHERS, parts.predicted, *STATES)
    rows = Rows.of(part((FRAMES,), parts.projected), parts.projected) if parts.projected else None
    joint = part((rows.name if rows else FRAMES, parts.predicted), LOGITS)
    return Parted(predictor, joint, parts.predicted, rows)


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
        width = session.get_inputs()[0].shape[1]
        if not isinstance(width, int):
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


class Parted:
    """Predictor and joint by themselves."""

    def __init__(
        self, predictor: Session, joint: Session, predicted: str, rows: Rows | None
    ) -> None:
        self._takes = _Takes(predictor)
        self.zero = self._takes.zero
        self._predictor = predictor
        self._joint = joint
        self._names = rows.name if rows else FRAMES, predicted
        self._rows = rows
        self._step: Bound | None = None
        self._blocks: dict[tuple[int, ...], Bound] = {}

    def prepared(self, frames: Frames, /) -> Frames:
        """See `Stepper`."""
        return self._rows.made(frames) if self._rows else frames

    def logits(self, frames: Frames, prediction: Prediction, /) -> NDArray[np.float32]:
        """See `Stepper`."""
        output = self._predicted(prediction) if prediction.output is None else prediction.output
        block = self._blocks.get(frames.shape)
        given = frames.reshape(self._rows.shape(frames)) if self._rows else frames.T[None]
        if block is None:
            feeds = dict(zip(self._names, (given, output), strict=True))
            block = self._blocks[frames.shape] = Bound(self._joint, feeds, (LOGITS,))
        else:
            first, second = block.feeds
            first[:], second[:] = given, output
            block.run()
        return block.results[0].reshape(len(frames), -1).copy()

    def _predicted(self, prediction: Prediction) -> NDArray[np.float32]:
        if self._step is None:
            feeds = self._takes.feeds(prediction)
            self._step = Bound(self._predictor, feeds, (self._names[1], *STATES))
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


def _columns(frames: Frames) -> NDArray[np.float32]:
    """Return frames as the graph has them, shape (1, D, frames)."""
    return np.ascontiguousarray(frames.T[None])

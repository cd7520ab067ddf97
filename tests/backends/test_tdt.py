"""The corners of token-and-duration decoding, told by a scripted joint."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import FRAME, MODEL_WINDOW, Samples
from parakeet_coreml.backends.transducer.backend import TransducerBackend
from parakeet_coreml.backends.transducer.mel import valid_frames
from parakeet_coreml.backends.transducer.tdt import MAX_SYMBOLS, Decision, Emission, Frames, greedy
from parakeet_coreml.backends.transducer.vocab import Vocab

BLANK = 9
A, B, C = 0, 1, 2
DURATIONS = (0, 1, 2, 3, 4)
VOCAB = Vocab({A: "▁a", B: "▁b", C: "▁c"})

Step = tuple[int, int]
"""A token and its duration."""


def frames_of(count: int) -> Frames:
    """Return encoder frames that hold their own number."""
    return np.arange(count, dtype=np.float32).reshape(count, 1)


@dataclass
class Scripted:
    """Networks whose joint says `steps[t]` at frame t, one after the other, then blank and 1."""

    steps: dict[int, Sequence[Step]]
    durations: tuple[int, ...] = DURATIONS
    blank: int = BLANK
    predicted: list[int] = field(default_factory=list)
    visited: list[int] = field(default_factory=list)

    def encode(self, window: Samples, /) -> Frames:
        return frames_of(-(-valid_frames(len(window)) // 8))

    def predict(self, token: int, previous: tuple[int, ...] | None, /) -> tuple[int, ...]:
        self.predicted.append(token)
        return (*(previous or ()), token)

    def joint(self, ahead: Frames, prediction: tuple[int, ...], /) -> Decision:
        t = int(ahead[0, 0])
        said = self.visited.count(t)
        self.visited.append(t)
        steps = self.steps.get(t, ())
        token, duration = steps[said] if said < len(steps) else (self.blank, 1)
        return Decision(token, 0.5, self.durations.index(duration))


def decoded(networks: Scripted, frames: int) -> list[tuple[int, int]]:
    """Return tokens and their frames."""
    return [(e.token, e.frame) for e in greedy(networks, frames_of(frames))]


# fmt: off
CORNERS = [
    # name, script, frames, tokens at frames, frames visited
    ("T1 blank with duration 0 everywhere goes on by one",
     {t: [(BLANK, 0)] * 99 for t in range(5)}, 5, [], [0, 1, 2, 3, 4]),
    ("T2 tokens with duration 0 share their frame",
     {0: [(A, 0), (B, 0), (C, 2)]}, 4, [(A, 0), (B, 0), (C, 0)], [0, 0, 0, 2, 3]),
    ("T3 a token with duration 0 for ever is forced on",
     {0: [(A, 0)] * 99}, 2, [(A, 0)] * 10, [0] * 10 + [1]),
    ("T3b and the count starts anew on the next frame",
     {0: [(A, 0)] * 99, 1: [(B, 0)] * 99}, 2, [(A, 0)] * 10 + [(B, 1)] * 10, [0] * 10 + [1] * 10),
    ("T3c nine tokens and a blank with duration 0 go on by one",
     {0: [(A, 0)] * 9 + [(BLANK, 0)]}, 2, [(A, 0)] * 9, [0] * 10 + [1]),
    ("T4 the tenth token's own duration is taken as it is",
     {0: [(A, 0)] * 9 + [(B, 3)]}, 5, [(A, 0)] * 9 + [(B, 0)], [0] * 10 + [3, 4]),
    ("T5 a token whose duration passes the end is kept and nothing follows",
     {2: [(A, 4), (B, 1)]}, 3, [(A, 2)], [0, 1, 2]),
    ("T5b a token on the last frame that would stay is forced past it",
     {1: [(A, 0)] * 99}, 2, [(A, 1)] * 10, [0] + [1] * 10),
    ("T7 no frames give no tokens", {0: [(A, 1)]}, 0, [], []),
    ("T7b one frame may give one", {0: [(A, 1)]}, 1, [(A, 0)], [0]),
    ("blank jumps by its duration", {0: [(BLANK, 4)]}, 6, [], [0, 4, 5]),
    ("a token jumps by its duration", {0: [(A, 3)], 3: [(B, 1)]}, 5, [(A, 0), (B, 3)], [0, 3, 4]),
]
# fmt: on


@pytest.mark.parametrize(
    ("script", "frames", "tokens", "visited"),
    [corner[1:] for corner in CORNERS],
    ids=[corner[0] for corner in CORNERS],
)
def test_corner(
    script: dict[int, Sequence[Step]],
    frames: int,
    tokens: list[tuple[int, int]],
    visited: list[int],
) -> None:
    networks = Scripted(script)
    assert decoded(networks, frames) == tokens
    assert networks.visited == visited


def test_t6_blank_leaves_the_predictor_alone() -> None:
    networks = Scripted({1: [(A, 1)], 3: [(B, 0), (BLANK, 0)]})
    assert decoded(networks, 6) == [(A, 1), (B, 3)]
    assert networks.predicted == [BLANK, A, B]


def test_t8_dense_speech_is_not_capped() -> None:
    frames = 188
    networks = Scripted({t: [(A, 0), (B, 1)] for t in range(frames)})
    assert len(decoded(networks, frames)) == 2 * frames


def test_t9_durations_are_values_not_indices() -> None:
    durations = (0, 1, 2, 4, 8)
    networks = Scripted({0: [(A, 4)], 4: [(B, 8)]}, durations=durations)
    assert greedy(networks, frames_of(13)) == [Emission(A, 0, 4, 0.5), Emission(B, 4, 8, 0.5)]
    assert networks.visited == [0, 4, 12]


def test_an_emission_has_the_models_own_duration_also_where_the_search_is_forced_on() -> None:
    networks = Scripted({0: [(A, 0)] * 9 + [(B, 0)], 1: [(C, 0), (BLANK, 0)]})
    emissions = greedy(networks, frames_of(2))
    assert [e.duration for e in emissions] == [0] * 11
    assert networks.visited == [0] * 10 + [1, 1]


class Aliasing:
    """Networks that answer in one buffer, as runtimes with bound outputs do."""

    blank = BLANK
    durations = DURATIONS

    def __init__(self) -> None:
        self._buffer = np.zeros(1, dtype=np.float32)

    def encode(self, window: Samples, /) -> Frames:
        raise NotImplementedError

    def predict(self, token: int, previous: NDArray[np.float32] | None, /) -> NDArray[np.float32]:
        self._buffer[0] = token if previous is None else previous[0] * 10 + token
        return self._buffer

    def joint(self, ahead: Frames, prediction: NDArray[np.float32], /) -> Decision:
        said = {9.0: A + 1, 91.0: B + 1, 912.0: BLANK}  # the history, digit by digit
        return Decision(said[float(prediction[0])], 0.5, 1)


def test_t10_a_prediction_that_is_overwritten_in_place_does_no_harm() -> None:
    assert [e.token for e in greedy(Aliasing(), frames_of(4))] == [1, 2]


@pytest.mark.parametrize("frames", [1, 2, 187])
def test_t11_the_last_frame_of_whole_frames_is_decoded(frames: int) -> None:
    # And no frame more: the mel frame centred on the window's end is not valid (see `mel`).
    samples = frames * FRAME
    backend = TransducerBackend(Scripted({frames - 1: [(A, 1)]}), VOCAB, max_samples=MODEL_WINDOW)
    (token,) = backend.transcribe(np.zeros(samples, dtype=np.float32)).tokens
    assert (token.piece, token.start, token.duration) == ("▁a", samples - FRAME, FRAME)


def test_t11_a_started_frame_counts_as_soon_as_it_holds_a_mel_frame() -> None:
    networks = Scripted({})
    assert len(networks.encode(np.zeros(FRAME + 159, dtype=np.float32))) == 1
    assert len(networks.encode(np.zeros(FRAME + 160, dtype=np.float32))) == 2


def test_t12_the_predictor_sees_what_is_not_passed_on() -> None:
    # Nothing is suppressed inside: a later window's first words are dropped by their time, and
    # tokens without text on the way out, both after the predictor has seen them.
    nameless = 5
    networks = Scripted({0: [(nameless, 1)], 2: [(A, 1)]})
    backend = TransducerBackend(networks, VOCAB, max_samples=MODEL_WINDOW)
    tokens = backend.transcribe(np.zeros(4 * FRAME, dtype=np.float32)).tokens
    assert [t.piece for t in tokens] == ["▁a"]
    assert networks.predicted == [BLANK, nameless, A]


def test_no_token_reaches_past_its_window() -> None:
    networks = Scripted({1: [(A, 4)]})
    samples = FRAME + 500
    backend = TransducerBackend(networks, VOCAB, max_samples=MODEL_WINDOW)
    (token,) = backend.transcribe(np.zeros(samples, dtype=np.float32)).tokens
    assert (token.start, token.duration) == (FRAME, 500)


def test_a_backend_is_closed_once() -> None:
    closed = []
    backend = TransducerBackend(
        Scripted({}), VOCAB, max_samples=MODEL_WINDOW, close=lambda: closed.append("closed")
    )
    backend.close()
    backend.close()
    assert closed == ["closed"]
    with pytest.raises(ValueError, match="closed"):
        backend.transcribe(np.zeros(FRAME, dtype=np.float32))


steps = st.tuples(st.sampled_from([A, B, C, BLANK]), st.sampled_from(DURATIONS))
scripts = st.dictionaries(st.integers(0, 30), st.lists(steps, max_size=25), max_size=30)


@given(script=scripts, frames=st.integers(0, 30))
def test_any_script_ends_in_order_inside_the_window(
    script: dict[int, list[Step]], frames: int
) -> None:
    networks = Scripted(dict(script))
    emissions = greedy(networks, frames_of(frames))
    at = [e.frame for e in emissions]
    assert at == sorted(at)
    assert all(0 <= t < frames for t in at)
    assert networks.predicted == [BLANK, *(e.token for e in emissions)]
    assert networks.visited == sorted(networks.visited)
    assert len(networks.visited) <= frames * (MAX_SYMBOLS + 1)


@given(script=scripts, frames=st.integers(0, 30))
def test_at_most_ten_tokens_share_a_frame(script: dict[int, list[Step]], frames: int) -> None:
    at = [e.frame for e in greedy(Scripted(dict(script)), frames_of(frames))]
    assert all(at.count(t) <= MAX_SYMBOLS for t in at)

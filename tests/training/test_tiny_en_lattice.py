"""The loss tiny-en is trained with, against the sum over every path, one by one."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import requires

Scores = tuple[NDArray[np.float32], ...]


@pytest.fixture(scope="module")
def losses() -> Any:
    requires("numba", present=find_spec("numba") is not None)
    from models.tiny_en.lattice import losses  # noqa: PLC0415  numba is not everywhere

    return losses


def paths(scores: Scores, frames: int, size: int, t: int = 0, u: int = 0) -> Iterator[float]:
    """Yield the score of each path from a point to the end, which a last blank reaches."""
    blanks, labels, durations = scores
    for d in range(5):
        arc = float(durations[t, u, d])
        if d and t + d == frames and u == size:
            yield arc + float(blanks[t, u])
        if t + d >= frames:
            continue
        if d:
            for rest in paths(scores, frames, size, t + d, u):
                yield arc + float(blanks[t, u]) + rest
        if u < size:
            for rest in paths(scores, frames, size, t + d, u + 1):
                yield arc + float(labels[t, u]) + rest


def drawn(frames: int, size: int, seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    shapes = ((frames, size + 1), (frames, size + 1), (frames, size + 1, 5))
    return tuple(rng.normal(-1, 1, shape).astype(np.float32) for shape in shapes)


def summed(scores: Scores, frames: int, size: int) -> float:
    return -float(np.logaddexp.reduce(list(paths(scores, frames, size))))


SHAPES = [(1, 0), (1, 2), (3, 1), (4, 2), (6, 0), (5, 3)]


@pytest.mark.parametrize(("frames", "size"), SHAPES)
def test_the_loss_is_the_sum_over_all_paths(losses: Any, frames: int, size: int) -> None:
    scores = drawn(frames, size, seed=frames)
    found, _ = losses(tuple(part[None] for part in scores), np.array([frames]), np.array([size]))
    assert found[0] == pytest.approx(summed(scores, frames, size), abs=1e-5)


def test_the_gradients_are_those_of_the_sum(losses: Any) -> None:
    frames, size, step = 4, 2, 1e-2
    scores = drawn(frames, size, seed=0)
    _, grads = losses(tuple(part[None] for part in scores), np.array([frames]), np.array([size]))
    for part, grad in zip(scores, grads, strict=True):
        for place in np.ndindex(part.shape):
            kept = part[place]
            part[place] = kept + step
            above = summed(scores, frames, size)
            part[place] = kept - step
            below = summed(scores, frames, size)
            part[place] = kept
            assert grad[0][place] == pytest.approx((above - below) / (2 * step), abs=1e-3), place


def test_what_pads_a_batch_counts_for_nothing(losses: Any) -> None:
    short, full = drawn(3, 1, seed=1), drawn(5, 3, seed=2)
    batch = []
    for small, large in zip(short, full, strict=True):
        padded = np.full_like(large, 7.0)
        padded[: small.shape[0], : small.shape[1]] = small
        batch.append(np.stack([padded, large]))
    found, grads = losses(tuple(batch), np.array([3, 5]), np.array([1, 3]))
    assert found == pytest.approx([summed(short, 3, 1), summed(full, 5, 3)], abs=1e-5)
    assert all(not grad[0, 3:].any() and not grad[0, :, 2:].any() for grad in grads)


def test_more_words_than_frames_can_hold_cost_nothing(losses: Any) -> None:
    # Duration 0 lets any number of tokens into one frame, unless it is forbidden.
    scores = drawn(1, 2, seed=3)
    scores[2][:, :, 0] = -1e30
    found, grads = losses(tuple(part[None] for part in scores), np.array([1]), np.array([2]))
    assert found[0] == 0.0
    assert all(not grad.any() for grad in grads)

"""Sum over all paths of a transducer with durations, forward and backward. Pure, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Sums = NDArray[np.float64]

NEVER = -1e30
"""The logarithm of what cannot happen."""


@numba.njit(cache=True)
def plus(a: float, b: float) -> float:
    """Add two numbers given as logarithms."""
    if a < b:
        a, b = b, a
    if b <= NEVER / 2:
        return a
    return a + np.log1p(np.exp(b - a))


@numba.njit(cache=True)
def forward(blanks: Scores, labels: Scores, durations: Scores, frames: int, size: int) -> Sums:
    """Sum the paths from the start to each point (frame, tokens said)."""
    alpha = np.full((frames, size + 1), NEVER)
    alpha[0, 0] = 0.0
    for t in range(frames):
        for u in range(size + 1):
            if alpha[t, u] <= NEVER / 2:
                continue
            for d in range(min(5, frames - t)):
                arc = alpha[t, u] + durations[t, u, d]
                if d > 0:
                    alpha[t + d, u] = plus(alpha[t + d, u], arc + blanks[t, u])
                if u < size:
                    alpha[t + d, u + 1] = plus(alpha[t + d, u + 1], arc + labels[t, u])
    return alpha


@numba.njit(cache=True)
def backward(blanks: Scores, labels: Scores, durations: Scores, frames: int, size: int) -> Sums:
    """Sum the paths from each point to the end; row `frames` is the end, after a last blank."""
    beta = np.full((frames + 1, size + 1), NEVER)
    beta[frames, size] = 0.0
    for t in range(frames - 1, -1, -1):
        for u in range(size, -1, -1):
            best = NEVER
            for d in range(min(4, frames - t) + 1):
                arc = durations[t, u, d]
                if d > 0:
                    best = plus(best, arc + blanks[t, u] + beta[t + d, u])
                if u < size and t + d < frames:
                    best = plus(best, arc + labels[t, u] + beta[t + d, u + 1])
            beta[t, u] = best
    return beta


@numba.njit(cache=True)
def posteriors(  # noqa: PLR0913, PLR0917  numba knows no structures
    blanks: Scores,
    labels: Scores,
    durations: Scores,
    alpha: Sums,
    beta: Sums,
    g_blanks: Scores,
    g_labels: Scores,
    g_durations: Scores,
) -> None:
    """Subtract from the gradients how likely each arc is to be on the path taken."""
    frames, width = alpha.shape
    for t in range(frames):
        for u in range(width):
            here = alpha[t, u] - beta[0, 0]
            if here + beta[t, u] < -40.0:
                continue
            for d in range(min(4, frames - t) + 1):
                arc = here + durations[t, u, d]
                mass = 0.0
                if d > 0:
                    mass = np.exp(arc + blanks[t, u] + beta[t + d, u])
                    g_blanks[t, u] -= mass
                if u < width - 1 and t + d < frames:
                    label = np.exp(arc + labels[t, u] + beta[t + d, u + 1])
                    g_labels[t, u] -= label
                    mass += label
                g_durations[t, u, d] -= mass


def losses(
    scores: tuple[Scores, Scores, Scores], counts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[Scores, tuple[Scores, Scores, Scores]]:
    """Return each utterance's loss, and the gradients by blank, label and duration scores.

    Durations 0 to 4 by index; a blank never lasts 0 frames; the path ends with a blank that
    reaches just behind the last frame, as `tdt_loss` of `transformers` has it.
    """
    found = np.zeros(len(counts), np.float32)
    grads = tuple(np.zeros_like(part) for part in scores)
    for b, (frames, size) in enumerate(zip(counts, sizes, strict=True)):
        one = tuple(part[b] for part in scores)
        beta = backward(*one, frames, size)
        if beta[0, 0] <= NEVER / 2:
            continue
        found[b] = -beta[0, 0]
        posteriors(*one, forward(*one, frames, size), beta, *(grad[b] for grad in grads))
    return found, (grads[0], grads[1], grads[2])

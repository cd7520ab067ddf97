"""A predictor of one layer and a joint, both small, in NumPy: tiny-en's, read out of their graph.

    gates = table[token] + R h           i, o, f = sigmoid(gates[:3])      g = tanh(gates[3])
    c' = f c + i g                       h' = o tanh(c')
    logits = W relu(E frame + e + P h' + p) + w

Of a graph this small, most of the time is ONNX Runtime's way from operator to operator. The table
has what the embedding and the first product of the LSTM make of each token.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.backends.stepping import Prediction, State
from parakeet_coreml.backends.transducer.backend import BLOCK
from parakeet_coreml.backends.transducer.tdt import Frames
from parakeet_coreml.errors import BackendFailedError

Array = NDArray[np.float32]

OPERATORS = (
    *("Gather", "LSTM", "MatMul", "Add"),
    *("MatMul", "Add"),
    *("Add", "Relu", "MatMul", "Add"),
)
"""Of predictor, projection and joint."""

SHAPING = {"Cast", "Identity", "Squeeze", "Transpose", "Unsqueeze"}
"""What changes no number, where there is one frame, one token and one layer."""

CONSTANTS = 10
"""That they take: a table, three of the LSTM, and of each other two one."""


class Small:
    """The `Stepper` over arrays. Whoever reads them out of a graph has to compare what it gives."""

    def __init__(self, constants: Sequence[Array]) -> None:
        """Take the constants of `OPERATORS`, in order. Raises `ValueError` at other shapes."""
        embedding, w, r, b, p, self._p_bias, e, self._e_bias, head, self._bias = constants
        if w.shape[0] != 1 or b.shape[0] != 1:
            raise ValueError("an LSTM of two directions")
        hidden = r.shape[2]
        half = np.ones(4 * hidden, np.float32)
        half[: 3 * hidden] = 0.5  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
        sums = b[0, : 4 * hidden] + b[0, 4 * hidden :]
        self._table = (embedding @ w[0].T + sums) * half
        self._recurrent = np.ascontiguousarray(r[0].T * half)
        self._p, self._e, self._head = p, e, head
        self._hidden = hidden
        self.tokens = len(embedding)
        self.zero = np.zeros((1, 1, hidden), np.float32), np.zeros((1, 1, hidden), np.float32)

    def prepared(self, frames: Frames, /) -> Frames:
        """See `Stepper`."""
        if frames.shape[1] != len(self._e):
            raise BackendFailedError(f"frames of {frames.shape[1]} numbers, not {len(self._e)}")
        if not np.isfinite(frames).all():
            raise BackendFailedError("the encoder gave what is no frames")
        return frames @ self._e + self._e_bias

    def foreseen(self, frames: Frames, _prediction: Prediction, /) -> Sequence[int]:
        """See `Stepper`."""
        return range(min(BLOCK, len(frames)))

    def logits(self, frames: Frames, prediction: Prediction, /) -> Array:
        """See `Stepper`."""
        if prediction.output is None:
            prediction.output, prediction.after = self._step(prediction.token, prediction.state)
        hidden = frames + prediction.output
        np.maximum(hidden, 0, out=hidden)
        logits: Array = np.dot(hidden, self._head)
        logits += self._bias
        return logits

    def _step(self, token: int, state: State) -> tuple[Array, State]:
        n = self._hidden
        gates = state[0][0, 0] @ self._recurrent
        gates += self._table[token]
        np.tanh(gates, out=gates)
        open_ = gates[: 3 * n]
        open_ *= 0.5
        open_ += 0.5
        c = gates[2 * n : 3 * n] * state[1]
        c += gates[:n] * gates[3 * n :]
        h = np.tanh(c)
        h *= gates[n : 2 * n]
        return h[0, 0] @ self._p + self._p_bias, (h, c)

"""MIL operations with NumPy, by name: element by element, on shapes, and reductions.

Those that Parakeet's packages use, as the iOS 17 operation set defines them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from parakeet_coreml.backends.reference.mlpackage import Constant
from parakeet_coreml.errors import ModelUnusableError

Kernel = Callable[..., Any]
Numbers = Any
"""Arrays of any type, and constants; NumPy's stubs know no name for both."""

TABLE: dict[str, Kernel] = {}
"""How each operation is computed: parameters by their MIL names, to an array or a tuple of them."""


def inside(value: Constant) -> Numbers:
    """Return numbers as they are computed with: halves as singles."""
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    return value


def registering(table: dict[str, Kernel]) -> Callable[..., Callable[[Kernel], Kernel]]:
    """Return a decorator that enters a function into a table under the names of MIL operations."""

    def kernel(*names: str) -> Callable[[Kernel], Kernel]:
        def register(function: Kernel) -> Kernel:
            table.update(dict.fromkeys(names, function))
            return function

        return register

    return kernel


kernel = registering(TABLE)


def sigmoid(x: Numbers) -> Numbers:
    """Return the logistic function, which overflows nowhere."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, np.float32(1)) / (1 + small)


BINARY: dict[str, Kernel] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "real_div": np.divide,
    "floor_div": np.floor_divide,
    "mod": np.mod,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
}
UNARY: dict[str, Kernel] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "square": np.square,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "logical_not": np.logical_not,
    "identity": lambda x: x,
}


def _binary(function: Kernel) -> Kernel:
    def run(*, x: Numbers, y: Numbers) -> Numbers:
        return function(x, y)

    return run


def _unary(function: Kernel) -> Kernel:
    def run(*, x: Numbers) -> Numbers:
        return function(x)

    return run


TABLE.update({name: _binary(function) for name, function in BINARY.items()})
TABLE.update({name: _unary(function) for name, function in UNARY.items()})


@kernel("log")
def _log(*, x: Numbers, epsilon: float = 1e-45) -> Numbers:
    return np.log(x + np.float32(epsilon))


@kernel("rsqrt")
def _rsqrt(*, x: Numbers, epsilon: float = 1e-12) -> Numbers:
    return np.float32(1) / np.sqrt(x + np.float32(epsilon))


@kernel("clip")
def _clip(*, x: Numbers, alpha: float, beta: float) -> Numbers:
    return np.clip(x, alpha, beta)


@kernel("const")
def _const(*, val: Constant) -> Numbers:
    return inside(val)


CASTS = {"fp16": "float32", "fp32": "float32", "bool": "bool"}


@kernel("cast")
def _cast(*, x: Numbers, dtype: str) -> Numbers:
    return x.astype(CASTS.get(dtype, dtype))


@kernel("select")
def _select(*, cond: Numbers, a: Numbers, b: Numbers) -> Numbers:
    return np.where(cond, a, b)


# Shapes


@kernel("shape")
def _shape(*, x: Numbers) -> Numbers:
    return np.array(x.shape, np.int32)


@kernel("reshape")
def _reshape(*, x: Numbers, shape: Numbers) -> Numbers:
    sizes = [x.shape[axis] if size == 0 else int(size) for axis, size in enumerate(shape)]
    return x.reshape(sizes)


@kernel("transpose")
def _transpose(*, x: Numbers, perm: Numbers) -> Numbers:
    return x.transpose(perm)


@kernel("expand_dims")
def _expand_dims(*, x: Numbers, axes: Numbers) -> Numbers:
    return np.expand_dims(x, tuple(axes.tolist()))


@kernel("squeeze")
def _squeeze(*, x: Numbers, axes: Numbers = None) -> Numbers:
    return np.squeeze(x, None if axes is None else tuple(axes.tolist()))


@kernel("concat")
def _concat(*, values: tuple[Numbers, ...], axis: Numbers, interleave: Numbers = False) -> Numbers:
    if interleave:
        raise ModelUnusableError("the reference evaluator cannot interleave in 'concat'")
    return np.concatenate([np.atleast_1d(value) for value in values], int(axis))


@kernel("stack")
def _stack(*, values: tuple[Numbers, ...], axis: Numbers) -> Numbers:
    return np.stack(values, int(axis))


@kernel("split")
def _split(
    *, x: Numbers, axis: Numbers, num_splits: Numbers = None, split_sizes: Numbers = None
) -> tuple[Numbers, ...]:
    at = int(num_splits) if split_sizes is None else np.cumsum(split_sizes)[:-1]
    return tuple(np.split(x, at, int(axis)))


@kernel("slice_by_index")
def _slice_by_index(  # noqa: PLR0913  as MIL has it
    *,
    x: Numbers,
    begin: Numbers,
    end: Numbers,
    stride: Numbers = None,
    begin_mask: Numbers = None,
    end_mask: Numbers = None,
    squeeze_mask: Numbers = None,
) -> Numbers:
    no = np.zeros(len(begin), bool)
    steps = np.ones(len(begin), np.int32) if stride is None else stride
    keys: list[slice | int] = []
    for axis, first in enumerate(begin.tolist()):
        if (no if squeeze_mask is None else squeeze_mask)[axis]:
            keys.append(first)
            continue
        start = None if (no if begin_mask is None else begin_mask)[axis] else first
        stop = None if (no if end_mask is None else end_mask)[axis] else int(end[axis])
        keys.append(slice(start, stop, int(steps[axis])))
    return x[tuple(keys)]


@kernel("gather")
def _gather(
    *,
    x: Numbers,
    indices: Numbers,
    axis: Numbers = 0,
    batch_dims: Numbers = 0,
    validate_indices: Numbers = False,  # noqa: ARG001  NumPy always does
) -> Numbers:
    if batch_dims:
        raise ModelUnusableError("the reference evaluator cannot batch in 'gather'")
    return np.take(x, indices, int(axis))


@kernel("tile")
def _tile(*, x: Numbers, reps: Numbers) -> Numbers:
    return np.tile(x, reps)


@kernel("range_1d")
def _range_1d(*, start: Numbers, end: Numbers, step: Numbers) -> Numbers:
    sizes: Numbers = (start.item(), end.item(), step.item())
    return np.arange(*sizes, dtype=start.dtype)


PAD_MODES: dict[str, Numbers] = {"reflect": "reflect", "replicate": "edge"}


@kernel("pad")
def _pad(
    *, x: Numbers, pad: Numbers, mode: str = "constant", constant_val: Numbers = 0.0
) -> Numbers:
    given = pad.reshape(-1, 2).tolist()
    widths = [[0, 0]] * (x.ndim - len(given)) + given
    if mode == "constant":
        return np.pad(x, widths, constant_values=np.asarray(constant_val, x.dtype))
    return np.pad(x, widths, PAD_MODES[mode])


# Reductions


def _reduce(function: Kernel) -> Kernel:
    def run(*, x: Numbers, axes: Numbers = None, keep_dims: Numbers = False) -> Numbers:
        return function(
            x, axis=None if axes is None else tuple(axes.tolist()), keepdims=bool(keep_dims)
        )

    return run


TABLE["reduce_sum"] = _reduce(np.sum)
TABLE["reduce_mean"] = _reduce(np.mean)
TABLE["reduce_max"] = _reduce(np.max)
TABLE["reduce_min"] = _reduce(np.min)
TABLE["reduce_sum_square"] = _reduce(lambda x, **how: np.sum(x * x, **how))


@kernel("reduce_argmax")
def _reduce_argmax(
    *, x: Numbers, axis: Numbers = -1, keep_dims: Numbers = False, output_dtype: str = "int32"
) -> Numbers:
    return np.argmax(x, int(axis), keepdims=bool(keep_dims)).astype(output_dtype)


@kernel("topk")
def _topk(  # noqa: PLR0913  as MIL has it
    *,
    x: Numbers,
    k: Numbers = 1,
    axis: Numbers = -1,
    ascending: Numbers = False,
    sort: Numbers = True,  # noqa: ARG001  sorted is as good as unsorted
    return_indices: Numbers = True,
    output_indices_dtype: str = "int32",
) -> tuple[Numbers, ...]:
    order = np.argsort(x if ascending else -x, int(axis), kind="stable")
    indices = np.take(order, range(int(k)), int(axis))
    values = np.take_along_axis(x, indices, int(axis))
    return (values, indices.astype(output_indices_dtype)) if return_indices else (values,)

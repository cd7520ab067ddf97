"""Evaluate a MIL program with NumPy: the reference that stands in for Apple's runtime off a Mac.

Knows the operations that Parakeet's packages use, as the iOS 17 operation set defines them (and the
two compressed-weight forms of iOS 18 beside it). Numbers of half precision are computed in single
precision; `half=True` rounds every result that the program declares as half, which shows overflow
and loss the way a device that stores halves would, though not to the last bit.

Correct first, then quick enough to test with: matrix products go to BLAS, convolutions become
matrix products, and whatever depends on constants alone is computed once, at load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from parakeet_coreml.backends.reference.mlpackage import (
    Array,
    Constant,
    Description,
    Name,
    Operation,
    check_inputs,
    read_package,
    unpack,
)
from parakeet_coreml.errors import ModelUnusableError

Kernel = Callable[..., Any]
Numbers = Any
"""Arrays of any type, and constants; NumPy's stubs know no name for both."""

KERNELS: dict[str, Kernel] = {}
"""How each operation is computed: parameters by their MIL names, to an array or a tuple of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """An operation ready to run: its values by name, its constants in place."""

    kind: str
    run: Kernel
    values: Mapping[str, str | tuple[str | Constant, ...]]
    outputs: tuple[str, ...]
    halves: tuple[bool, ...]

    @property
    def names(self) -> set[str]:
        """Names of the values it waits for."""
        bound = (v if isinstance(v, tuple) else (v,) for v in self.values.values())
        return {part for parts in bound for part in parts if isinstance(part, Name)}


class Evaluator:
    """A program held in memory. Stateless between predictions."""

    def __init__(self, path: Path, *, half: bool = False) -> None:
        """Load an `.mlpackage`, and compute what depends on constants alone.

        `half` rounds to half precision where the program declares it. Raises `ModelUnusableError`
        naming the first operation that is not known here, `ModelCorruptError` for damaged files.
        """
        package = read_package(path)
        unknown = sorted({step.kind for step in package.operations} - KERNELS.keys())
        if unknown:
            raise ModelUnusableError(
                f"the reference evaluator does not know '{unknown[0]}', which '{path.name}' uses",
                "run it on a Mac, or convert the model with models/convert",
            )
        self.description: Description = package.description
        self._results = package.results
        self._half = half
        self._constants: dict[str, Constant] = {}
        self._steps: list[Step] = []
        for operation in package.operations:
            self._take(operation)
        self._constants = {k: v for k, v in self._constants.items() if k in self._results}
        self._spent = _spent(self._steps, package.results)

    def _take(self, operation: Operation) -> None:
        """Compute an operation on constants now; keep any other as a step."""
        inputs = {name: self._bound(name, bound) for name, bound in operation.inputs.items()}
        halves = tuple(self._half and dtype == "float16" for dtype in operation.dtypes)
        waiting = {name: value for name, value in inputs.items() if _waits(value)}
        ready = {name: value for name, value in inputs.items() if name not in waiting}
        run = partial(KERNELS[operation.kind], **ready, **operation.attributes)
        step = Step(operation.kind, run, waiting, operation.outputs, halves)
        if waiting:
            self._steps.append(step)
        else:
            _run(step, self._constants)

    def _bound(self, name: str, bound: tuple[str | Constant, ...]) -> Numbers:
        """Return the constants of an argument in their place, and names for the rest."""
        found = tuple(self._constants.get(v, v) if isinstance(v, Name) else v for v in bound)
        return found if name == "values" else found[0]

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the program once; float results come as float32.

        Raises `BackendFailedError` if an input is absent, unknown, or of another shape or type than
        the description says.
        """
        check_inputs(self.description.inputs, inputs)
        values: dict[str, Constant] = dict(self._constants)
        values |= {Name(name): _inside(array) for name, array in inputs.items()}
        for step, spent in zip(self._steps, self._spent, strict=True):
            _run(step, values)
            for name in spent:
                del values[name]
        return {name: _outside(np.asarray(values[name])) for name in self._results}


def _spent(steps: list[Step], results: tuple[str, ...]) -> list[set[str]]:
    """Return for each step the values that no later step needs: a big model has gigabytes."""
    seen, spent = set(results), []
    for step in reversed(steps):
        spent.append(step.names - seen)
        seen |= step.names
    return spent[::-1]


def _waits(value: Numbers) -> bool:
    """Return whether an argument still needs a value."""
    parts = value if isinstance(value, tuple) else (value,)
    return any(isinstance(part, Name) for part in parts)


def _run(step: Step, values: dict[str, Constant]) -> None:
    """Run a step, and put what it gives among the values."""
    inputs = {
        name: tuple(values[v] if isinstance(v, Name) else v for v in value)
        if isinstance(value, tuple)
        else values[value]
        for name, value in step.values.items()
    }
    try:
        found = step.run(**inputs)
    except (TypeError, ValueError, IndexError) as error:  # another operation set, another shape
        raise ModelUnusableError(
            f"the reference evaluator cannot run '{step.kind}': {error}"
        ) from error
    results = found if isinstance(found, tuple) else (found,)
    for name, result, half in zip(step.outputs, results, step.halves, strict=False):
        rounded = result.astype(np.float16).astype(np.float32) if half else result
        values[Name(name)] = rounded


def _inside(value: Constant) -> Numbers:
    """Return numbers as they are computed with: halves as singles."""
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    return value


def _outside(array: Array) -> Array:
    """Return a result as the border has it: float32 or int32, contiguous, nobody else's."""
    return np.array(array, np.float32 if array.dtype.kind == "f" else np.int32, order="C")


# Operations


def kernel(*names: str) -> Callable[[Kernel], Kernel]:
    """Register a function under the names of MIL operations."""

    def register(function: Kernel) -> Kernel:
        KERNELS.update(dict.fromkeys(names, function))
        return function

    return register


def _sigmoid(x: Numbers) -> Numbers:
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
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
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


KERNELS.update({name: _binary(function) for name, function in BINARY.items()})
KERNELS.update({name: _unary(function) for name, function in UNARY.items()})


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
    return _inside(val)


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


KERNELS["reduce_sum"] = _reduce(np.sum)
KERNELS["reduce_mean"] = _reduce(np.mean)
KERNELS["reduce_max"] = _reduce(np.max)
KERNELS["reduce_min"] = _reduce(np.min)
KERNELS["reduce_sum_square"] = _reduce(lambda x, **how: np.sum(x * x, **how))


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


# Networks


@kernel("softmax")
def _softmax(*, x: Numbers, axis: Numbers = -1) -> Numbers:
    raised = np.exp(x - x.max(int(axis), keepdims=True))
    return raised / raised.sum(int(axis), keepdims=True)


@kernel("linear")
def _linear(*, x: Numbers, weight: Numbers, bias: Numbers = 0.0) -> Numbers:
    return x @ weight.T + bias


@kernel("matmul")
def _matmul(
    *, x: Numbers, y: Numbers, transpose_x: Numbers = False, transpose_y: Numbers = False
) -> Numbers:
    left = np.swapaxes(x, -1, -2) if transpose_x else x
    right = np.swapaxes(y, -1, -2) if transpose_y else y
    return left @ right


@kernel("layer_norm")
def _layer_norm(
    *,
    x: Numbers,
    axes: Numbers = None,
    gamma: Numbers = 1.0,
    beta: Numbers = 0.0,
    epsilon: float = 1e-5,
) -> Numbers:
    over = None if axes is None else tuple(axes.tolist())
    centred = x - x.mean(over, keepdims=True)
    variance = np.square(centred).mean(over, keepdims=True)
    return centred / np.sqrt(variance + np.float32(epsilon)) * gamma + beta


@kernel("batch_norm")
def _batch_norm(  # noqa: PLR0913  as MIL has it
    *,
    x: Numbers,
    mean: Numbers,
    variance: Numbers,
    gamma: Numbers = 1.0,
    beta: Numbers = 0.0,
    epsilon: float = 1e-5,
) -> Numbers:
    scale = np.broadcast_to(gamma / np.sqrt(variance + np.float32(epsilon)), mean.shape)
    channels = (1, -1) + (1,) * (x.ndim - 2)
    return x * scale.reshape(channels) + (beta - mean * scale).reshape(channels)


@kernel("conv")
def _conv(  # noqa: PLR0913  as MIL has it
    *,
    x: Numbers,
    weight: Numbers,
    bias: Numbers = None,
    strides: Numbers = None,
    pad_type: str = "valid",
    pad: Numbers = None,
    dilations: Numbers = None,
    groups: Numbers = 1,
) -> Numbers:
    """Convolve (batch, channels, *places) with (outputs, channels / groups, *taps)."""
    kernel_shape, places = weight.shape[2:], tuple(range(2, x.ndim))
    dilated = [1] * len(places) if dilations is None else dilations.tolist()
    strided = [1] * len(places) if strides is None else strides.tolist()
    spans = [(taps - 1) * gap + 1 for taps, gap in zip(kernel_shape, dilated, strict=True)]
    if pad_type == "same":
        x = np.pad(x, [(0, 0), (0, 0), *map(_same, x.shape[2:], spans, strided)])
    elif pad_type == "custom" and pad is not None:
        x = np.pad(x, [(0, 0), (0, 0), *pad.reshape(-1, 2).tolist()])
    views: Numbers = sliding_window_view(x, spans, places)
    views = views[(..., *(slice(None, None, gap) for gap in dilated))]
    views = views[(slice(None), slice(None), *(slice(None, None, step) for step in strided))]
    result = _products(views, weight, int(groups))
    return result if bias is None else result + bias.reshape(-1, *[1] * len(places))


def _same(size: int, span: int, stride: int) -> tuple[int, int]:
    """Return the padding that gives `ceil(size / stride)` places, the odd one at the end."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def _products(views: Numbers, weight: Numbers, groups: int) -> Numbers:
    """Sum over channels and taps: views (batch, channels, *places, *taps)."""
    taps = weight.ndim - 2
    batch, channels, *places = views.shape[: views.ndim - taps]
    outputs = len(weight)
    if groups == channels == outputs:  # one tap at a time: no sum over channels
        result = np.zeros((batch, outputs, *places), views.dtype)
        for at in np.ndindex(weight.shape[2:]):
            result += views[(..., *at)] * weight[:, 0][(..., *at)].reshape(-1, *[1] * taps)
        return result
    parts = []
    for part, filters in zip(np.split(views, groups, 1), np.split(weight, groups, 0), strict=True):
        columns = np.moveaxis(part, 1, -taps - 1).reshape(-1, filters[0].size)
        product = columns @ filters.reshape(len(filters), -1).T
        parts.append(np.moveaxis(product.reshape(batch, *places, -1), -1, 1))
    return np.concatenate(parts, 1)


@kernel("lstm")
def _lstm(  # noqa: PLR0913  as MIL has it
    *,
    x: Numbers,
    initial_h: Numbers,
    initial_c: Numbers,
    weight_ih: Numbers,
    weight_hh: Numbers,
    bias: Numbers = 0.0,
    direction: str = "forward",
    output_sequence: Numbers = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
) -> tuple[Numbers, Numbers, Numbers]:
    """Step over (steps, batch, inputs); gates lie as input, forget, output, cell."""
    plain = (direction, recurrent_activation, cell_activation, activation)
    if plain != ("forward", "sigmoid", "tanh", "tanh"):
        raise ModelUnusableError(f"the reference evaluator does not know 'lstm' as {plain}")
    h, c, seen = initial_h, initial_c, []
    for step in x:
        gates = step @ weight_ih.T + h @ weight_hh.T + bias
        i, f, o, g = np.split(gates, 4, -1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        seen.append(h)
    return np.stack(seen if output_sequence else seen[-1:]), h, c


# Compressed weights


@kernel("constexpr_affine_dequantize")
def _affine_dequantize(
    *, quantized_data: Numbers, zero_point: Numbers, scale: Numbers, axis: Numbers
) -> Numbers:
    lead = [-1 if at == int(axis) else 1 for at in range(quantized_data.ndim)]
    zero, step = (np.asarray(v, np.float32) for v in (zero_point, scale))
    shifted = quantized_data.astype(np.float32) - (zero.reshape(lead) if zero.ndim else zero)
    return shifted * (step.reshape(lead) if step.ndim else step)


@kernel("constexpr_lut_to_dense")
def _lut_to_dense(
    *, indices: Numbers, lut: Numbers, shape: Numbers = None, vector_axis: Numbers = None
) -> Numbers:
    """Look weights up: packed bits and one table (iOS 16), or a table for each block (iOS 18)."""
    if vector_axis is not None:
        raise ModelUnusableError("the reference evaluator knows no tables of vectors")
    table = _inside(lut)
    if shape is not None:
        bits = len(table).bit_length() - 1
        return np.asarray(table[unpack(indices, bits, int(np.prod(shape)))].reshape(shape))
    blocks = table.shape[: indices.ndim]
    flat = table.reshape(*blocks, -1)
    for axis, (size, count) in enumerate(zip(indices.shape, blocks, strict=True)):
        flat = np.repeat(flat, size // count, axis)
    return np.take_along_axis(flat, indices[..., None].astype(np.int64), -1)[..., 0]


@kernel("constexpr_blockwise_shift_scale")
def _blockwise_shift_scale(*, data: Numbers, scale: Numbers, offset: Numbers = None) -> Numbers:
    def spread(values: Numbers) -> Numbers:
        for axis, (size, count) in enumerate(zip(data.shape, values.shape, strict=True)):
            values = np.repeat(values, size // count, axis)
        return values.astype(np.float32)

    shifted = data.astype(np.float32) - (0 if offset is None else spread(offset))
    return shifted * spread(scale)

"""MIL operations with NumPy, by name: the layers of networks, and compressed weights.

Those that Parakeet's packages use, as the iOS 17 operation set defines them (and the two
compressed-weight forms of iOS 18 beside it). Matrix products go to BLAS, convolutions become matrix
products.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from parakeet_coreml.backends.reference.mlpackage import unpack
from parakeet_coreml.backends.reference.operations import (
    Kernel,
    Numbers,
    inside,
    registering,
    sigmoid,
)
from parakeet_coreml.errors import ModelUnusableError

TABLE: dict[str, Kernel] = {}
"""As in `operations`."""

kernel = registering(TABLE)


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
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
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
    table = inside(lut)
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

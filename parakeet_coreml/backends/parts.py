"""A graph of predictor and joint, taken apart. Pure.

    encoder_outputs ─▶ projection ─▶ projected ┐
    targets, states ─▶ predictor ──▶ predicted ┴▶ joint ─▶ logits
                           └─▶ states

The published graphs hold all of it, so that whoever asks the joint about a frame pays for a step of
the predictor too. Cuts go by what depends on what, never by operators, so that what the parts
compute is what the whole does; numbers, however many, are passed on unread. A graph of which
anything is not known, or that cannot be cut at one tensor, is left whole.

Messages and fields are those of ONNX's `onnx.proto`, on protobuf's wire.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

MODEL_GRAPH = 7
GRAPH_NAME, GRAPH_INPUT, GRAPH_OUTPUT = 2, 11, 12
PASSED_OVER = {GRAPH_NAME, 10, 13, 16}
"""Of a graph: its name, words, shapes in it and notes, without which a runtime does as well."""
ATTRIBUTE_GRAPHS = {6, 11}
TENSOR_DIMENSIONS, TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 8, 9, 13, 14
VALUE_NAME, VALUE_TYPE = 1, 2

FLOATS = b"\x0a\x02\x08\x01"
"""A `TypeProto`: a tensor of float32 of any shape."""

Field = tuple[int, memoryview, memoryview]
"""Number, the whole field, and what is in it."""


def read_parts(
    model: bytes, *, frames: str, logits: str, others: tuple[str, ...], states: tuple[str, ...]
) -> "Parts | None":
    """Find the cuts in a serialised model; None if that cannot be done with certainty.

    Its inputs are to be `frames`, which only the joint may take, and `others`, which only the
    predictor may; of its outputs `logits` are the joint's and `states` the predictor's.
    """
    try:
        fields = list(_fields(memoryview(model)))
        (body,) = (inside for number, _, inside in fields if number == MODEL_GRAPH)
        graph = _Graph.read(body)
    except (ValueError, RecursionError):  # not protobuf, or more than this knows
        return None
    if graph.inputs.keys() != {frames, *others}:
        return None
    from_frames, from_others = graph.depending({frames}), graph.depending(set(others))
    predicted = graph.crossing(from_others - from_frames, from_frames)
    projected = graph.crossing(from_frames - from_others, from_others)
    known = from_others.issuperset(states) and from_frames.isdisjoint(states)
    if not known or logits not in from_frames or len(predicted) != 1 or predicted <= {*others}:
        return None
    around = [whole for number, whole, _ in fields if number != MODEL_GRAPH]
    between = projected.pop() if len(projected) == 1 else frames
    return Parts(around, graph, predicted.pop(), None if between == frames else between)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a model can be cut, and what is between the cuts."""

    _around: list[memoryview]
    _graph: "_Graph"
    predicted: str
    projected: str | None
    """None where that cannot be cut off."""

    def between(self, given: tuple[str, ...], wanted: tuple[str, ...]) -> bytes:
        """Return a serialised model that computes `wanted` from `given`, or from some of it."""
        return b"".join([*self._around, *self._graph.part(given, wanted)])

    def last(
        self, count: int, width: int, given: tuple[str, ...], wanted: tuple[str, ...]
    ) -> bytes | None:
        """Return a model of the last `count` numbers of `width` that are wanted, or None.

        Each constant on the way that is so wide is cut down: what leads there is the same, and the
        product of the rest is not worked out.
        """
        try:
            return b"".join([*self._around, *self._graph.part(given, wanted, (count, width))])
        except ValueError:
            return None

    def steps(self, given: tuple[str, ...], wanted: tuple[str, ...]) -> list[tuple[str, list[str]]]:
        """Return each operator on the way, with the constants that it takes."""
        varying = self._graph.depending(set(given))
        return [
            (node.operator, [name for name in node.takes if name not in varying])
            for node in self._graph.way(given, wanted)
            if not varying.isdisjoint(node.takes)
        ]


@dataclass(slots=True)
class _Node:
    whole: memoryview
    takes: list[str]
    outputs: list[str]
    operator: str = ""


@dataclass(frozen=True, slots=True)
class _Graph:
    """Fields of a graph by the name that they define, each as it stands."""

    nodes: list[_Node]
    weights: dict[str, memoryview]
    inputs: dict[str, memoryview]
    outputs: dict[str, memoryview]

    @classmethod
    def read(cls, body: memoryview) -> "_Graph":
        """Read a graph. Raises `ValueError` at anything that is not known."""
        graph = cls([], {}, {}, {})
        for number, whole, inside in _fields(body):
            match number:
                case 1:  # `node`, and so on
                    graph.nodes.append(_node(whole, inside))
                case 5:
                    graph.weights[_tensor(inside)] = whole
                case 11:
                    graph.inputs[_text(inside, VALUE_NAME)] = whole
                case 12:
                    graph.outputs[_text(inside, VALUE_NAME)] = whole
                case _ if number not in PASSED_OVER:
                    raise ValueError(number)
        return graph

    def depending(self, names: set[str]) -> set[str]:
        """Return `names` and all that depends on one of them; nodes come in order."""
        found = set(names)
        for node in self.nodes:
            if not found.isdisjoint(node.takes):
                found.update(node.outputs)
        return found

    def crossing(self, one: set[str], other: set[str]) -> set[str]:
        """Return what is in `one` and taken by a node whose outputs are in `other`."""
        takers = (node for node in self.nodes if not other.isdisjoint(node.outputs))
        return {name for node in takers for name in node.takes if name in one}

    def way(self, given: Iterable[str], wanted: Iterable[str]) -> list[_Node]:
        """Return the nodes that compute `wanted` from `given` and constants."""
        needed, nodes = set(wanted), []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs) and not set(given).issuperset(node.outputs):
                nodes.append(node)
                needed.update(node.takes)
        return nodes[::-1]

    def part(
        self, given: Iterable[str], wanted: Iterable[str], last: tuple[int, int] | None = None
    ) -> list[bytes | memoryview]:
        """Return what computes `wanted` from `given`, as pieces of a model's field.

        `last` is a count and a width: constants of that width are cut down to their end. Raises
        `ValueError` if they are stored in a way that is not known.
        """
        nodes = self.way(given, wanted)
        needed = {*wanted, *(name for node in nodes for name in node.takes)}
        inside: list[bytes | memoryview] = [
            *(node.whole for node in nodes),
            _field(GRAPH_NAME, b"part"),
            *(
                whole if last is None else _end(whole, *last)
                for name, whole in self.weights.items()
                if name in needed
            ),
            *(_value(GRAPH_INPUT, n, self.inputs.get(n)) for n in given if n in needed),
            *(_value(GRAPH_OUTPUT, n, None if last else self.outputs.get(n)) for n in wanted),
        ]
        return [_head(MODEL_GRAPH, sum(map(len, inside))), *inside]


def _node(whole: memoryview, inside: memoryview) -> _Node:
    node = _Node(whole, [], [])
    for number, _, content in _fields(inside):
        match number:
            case 1 if content:  # one without a name is left out
                node.takes.append(str(content, "utf-8"))
            case 2 if content:
                node.outputs.append(str(content, "utf-8"))
            case 4:
                node.operator = str(content, "utf-8")
            case 5:
                node.takes.extend(_captured(content))
    return node


def _captured(attribute: memoryview) -> Iterator[str]:
    """Return what the graphs in an attribute take; some of it may be their own."""
    for number, _, graph in _fields(attribute):
        if number in ATTRIBUTE_GRAPHS:
            for node in _Graph.read(graph).nodes:
                yield from node.takes


def _tensor(inside: memoryview) -> str:
    """Return a tensor's name; one whose numbers are in another file is not known."""
    for number, _, content in _fields(inside):
        if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and any(content)):
            raise ValueError("numbers in another file")
    return _text(inside, TENSOR_NAME)


def _end(whole: memoryview, count: int, width: int) -> bytes | memoryview:
    """Return a tensor's field with its last `count` columns alone, if it has `width` of them."""
    ((field, _, inside),) = _fields(whole)
    sizes: list[int] = []
    kept, numbers = [], None
    for number, part, content in _fields(inside):
        if number == TENSOR_DIMENSIONS:
            sizes += _numbers(content)
        elif number == TENSOR_RAW:
            numbers = content
        else:
            kept.append(part)
    if not sizes or sizes[-1] != width:
        return whole
    rows = math.prod(sizes[:-1])
    if numbers is None or not rows or len(numbers) % (rows * width):
        raise ValueError("numbers that are not raw")
    size = len(numbers) // (rows * width)
    columns = np.frombuffer(numbers, np.uint8).reshape(rows, width * size)[:, -count * size :]
    dimensions = b"".join(
        bytes((TENSOR_DIMENSIONS << 3, *_varint(d))) for d in (*sizes[:-1], count)
    )
    return _field(field, b"".join([dimensions, *kept, _field(TENSOR_RAW, columns.tobytes())]))


def _numbers(message: memoryview) -> list[int]:
    """Return all numbers in a field, of which there are several where they are packed."""
    found, at = [], 0
    while at < len(message):
        value, at = _number(message, at)
        found.append(value)
    return found


def _text(message: memoryview, field: int) -> str:
    (found,) = (inside for number, _, inside in _fields(message) if number == field)
    return str(found, "utf-8")


def _value(field: int, name: str, known: memoryview | None) -> bytes | memoryview:
    """Return an input or output: as it was, or, at the cut, as floats."""
    if known is not None:
        return known
    return _field(field, _field(VALUE_NAME, name.encode()) + _field(VALUE_TYPE, FLOATS))


# The wire

LOW = 0x7F
"""What a byte of a number holds; the bit above says that more come."""


def _fields(message: memoryview) -> Iterator[Field]:
    """Take a message apart. Raises `ValueError` if it is none."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _number(message, at)
        match tag & 7:
            case 0:
                _, end = _number(message, at)
            case 1:
                end = at + 8
            case 2:
                length, at = _number(message, at)
                end = at + length
            case 5:
                end = at + 4
            case other:
                raise ValueError(other)
        if end > len(message):
            raise ValueError("cut short")
        yield tag >> 3, message[begin:end], message[at:end]
        at = end


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """Return a varint and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & LOW) << shift
        if byte <= LOW:
            return value, at
    raise ValueError("no number")


def _head(field: int, length: int) -> bytes:
    return bytes(chain(_varint(field << 3 | 2), _varint(length)))


def _field(field: int, inside: bytes) -> bytes:
    return _head(field, len(inside)) + inside


def _varint(value: int) -> Iterator[int]:
    while value > LOW:
        yield value & LOW | (LOW + 1)
        value >>= 7
    yield value

"""Read a Core ML package: its description, and the MIL program with its constants.

An `.mlpackage` is a folder: `Data/com.apple.CoreML/model.mlmodel` is a protobuf message of Apple's
published schema (`Model.proto`, `MIL.proto`), `weights/weight.bin` beside it holds large constants.
Read here without coremltools and without protobuf's library, so that a model can be looked at
and evaluated on any machine: the wire format is a page of code, and of the schema a program needs
a handful of messages. Field numbers below are the schema's.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.errors import BackendFailedError, ModelCorruptError, ModelUnusableError

Array = NDArray[Any]

Constant = Array | str
"""What a constant is: numbers as an array, anything else as text."""

MODEL = Path("Data", "com.apple.CoreML")
ML_PROGRAM = 502
"""Field of `Model` that holds a MIL program; older kinds of model have other fields."""

STRING = 2
DTYPES: dict[int, str] = {
    1: "bool",
    10: "float16",
    11: "float32",
    12: "float64",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
}
"""MIL's `DataType` by number, as NumPy names them."""

BITS: dict[int, int] = {35: 4, 36: 2, 37: 1, 38: 6, 39: 3}
"""Unsigned types smaller than a byte, by number. Read as one byte a value."""

INT4 = 25
"""The one signed type smaller than a byte."""

FEATURE_DTYPES: dict[int, str] = {
    0x10000 | 16: "float16",
    0x10000 | 32: "float32",
    0x10000 | 64: "float64",
    0x20000 | 32: "int32",
}
"""`ArrayDataType` of a description."""

FLEXIBLE = (21, 31)
"""Fields of `ArrayFeatureType` that allow more shapes than one."""

SENTINEL = 0xDEADBEEF
"""Opens each entry of `weight.bin`: u32 sentinel, u32 type, u64 bytes, u64 offset of the data."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What goes into a program or comes out of it."""

    dtype: str
    """As NumPy names it."""
    shape: tuple[int, ...]
    """Empty where the description does not say."""
    flexible: bool = False
    """True where other shapes are taken too; `shape` is then one of them."""


@dataclass(frozen=True, slots=True)
class Description:
    """Inputs and outputs of a program by name; both empty where nothing describes it."""

    inputs: Mapping[str, Feature]
    outputs: Mapping[str, Feature]


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a program."""

    kind: str
    inputs: Mapping[str, tuple[str | Constant, ...]]
    """By parameter: names of values (`str` subclass `Name`) or constants."""
    outputs: tuple[str, ...]
    dtypes: tuple[str, ...]
    """Declared type of each output; empty for what is no number."""
    attributes: Mapping[str, Constant]


class Name(str):
    """Name of a value, distinct from text constants."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Package:
    """A whole model: what it says of itself and what it does."""

    description: Description
    operations: tuple[Operation, ...]
    results: tuple[str, ...]
    """Names of the values that the program gives back."""


def describe(path: Path) -> Description:
    """Return what `.mlpackage` or `.mlmodelc` `path` says of its inputs and outputs.

    A compiled model without `metadata.json` says nothing. Raises `ModelCorruptError` if the files
    cannot be understood.
    """
    if path.suffix == ".mlpackage":
        return _description(_message(_read(path / MODEL / "model.mlmodel"), path).get(2), path)
    metadata = path / "metadata.json"
    if not metadata.is_file():
        return Description({}, {})
    try:
        (content,) = json.loads(metadata.read_text(encoding="utf-8"))
        return Description(
            {entry["name"]: _schema_feature(entry) for entry in content["inputSchema"]},
            {entry["name"]: _schema_feature(entry) for entry in content["outputSchema"]},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelCorruptError(f"cannot understand '{metadata}': {error}") from error


def read_package(path: Path) -> Package:
    """Read an `.mlpackage` with all its constants into memory.

    Raises `ModelCorruptError` if the files cannot be understood, `ModelUnusableError` if it is not
    a MIL program.
    """
    model = _message(_read(path / MODEL / "model.mlmodel"), path)
    description = _description(model.get(2), path)
    if ML_PROGRAM not in model:
        raise ModelUnusableError(f"'{path}' is no ML program", "convert it for macOS 14 or later")
    weights = path / MODEL / "weights" / "weight.bin"
    blob = np.memmap(weights, np.uint8, "r") if weights.is_file() else np.empty(0, np.uint8)
    try:
        program = fields(model[ML_PROGRAM][0])
        (function,) = (fields(entry[2][0]) for entry in map(fields, program[2]))
        opset = text(function[2][0])
        blocks = {text(entry[1][0]): entry[2][0] for entry in map(fields, function[3])}
        block = fields(blocks[opset])
        return Package(
            description,
            tuple(_operation(fields(data), blob) for data in block.get(3, [])),
            tuple(text(name) for name in block[2]),
        )
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise ModelCorruptError(f"cannot understand '{path}': {error!r}") from error


def check_inputs(features: Mapping[str, Feature], inputs: Mapping[str, Array]) -> None:
    """Compare inputs with a description; raises `BackendFailedError` at the first difference."""
    if features.keys() != inputs.keys():
        raise BackendFailedError(
            f"the model takes {', '.join(sorted(features))}, not {', '.join(sorted(inputs))}"
        )
    for name, feature in features.items():
        array = inputs[name]
        fits = array.shape == feature.shape or (
            feature.flexible and array.ndim == len(feature.shape)
        )
        if not fits or array.dtype != feature.dtype:
            raise BackendFailedError(
                f"'{name}' is {feature.dtype} {list(feature.shape)}, "
                f"not {array.dtype} {list(array.shape)}"
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelCorruptError(f"cannot read '{path}': {error.strerror}") from error


# Wire format

Fields = dict[int, list[Any]]
"""A message: for each field number its values in order, `int` or bytes."""


def fields(data: memoryview) -> Fields:
    """Split a message into its fields; raises `ValueError` or `IndexError` if it is none."""
    found: Fields = {}
    for number, value in _pairs(data):
        found.setdefault(number, []).append(value)
    return found


def _pairs(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:  # noqa: PLR2004  length-delimited
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[wire]
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes ends past its message")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  the top bit says that more follows
            return value, at
        shift += 7


def _varints(values: list[Any]) -> list[int]:
    """Return the signed whole numbers of a repeated field, packed or not."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            numbers.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in numbers]


def text(data: memoryview) -> str:
    """Return a string field."""
    return bytes(data).decode()


def _message(data: bytes, path: Path) -> Fields:
    try:
        return fields(memoryview(data))
    except (LookupError, ValueError, OverflowError) as error:
        raise ModelCorruptError(f"cannot understand '{path}': {error!r}") from error


# Description


def _description(values: list[Any] | None, path: Path) -> Description:
    try:
        content = fields(values[0]) if values else {}
        return Description(_features(content.get(1, [])), _features(content.get(10, [])))
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise ModelCorruptError(f"cannot understand '{path}': {error!r}") from error


def _features(values: list[Any]) -> dict[str, Feature]:
    features = {}
    for entry in map(fields, values):
        array = fields(fields(entry[3][0]).get(5, [memoryview(b"")])[0])
        dtype = FEATURE_DTYPES.get(array.get(2, [0])[0], "")
        shape = tuple(_varints(array.get(1, [])))
        flexible = not array.keys().isdisjoint(FLEXIBLE)
        features[text(entry[1][0])] = Feature(dtype, shape, flexible=flexible)
    return features


def _schema_feature(entry: dict[str, str]) -> Feature:
    """Return what an entry of `metadata.json` describes: `"shape": "[1, 128, 1501]"`."""
    shape = tuple(json.loads(entry.get("shape") or "[]"))
    flexible = entry.get("hasShapeFlexibility") == "1"
    return Feature(entry["dataType"].lower(), shape, flexible=flexible)


# Program


def _operation(entry: Fields, blob: Array) -> Operation:
    inputs: dict[str, tuple[str | Constant, ...]] = {}
    for pair in map(fields, entry.get(2, [])):
        bindings = map(fields, fields(pair[2][0]).get(1, []))
        inputs[text(pair[1][0])] = tuple(
            Name(text(binding[1][0])) if 1 in binding else _value(fields(binding[2][0]), blob)
            for binding in bindings
        )
    outputs = [fields(output) for output in entry.get(3, [])]
    attributes = {
        text(pair[1][0]): _value(fields(pair[2][0]), blob)
        for pair in map(fields, entry.get(5, []))
        if text(pair[1][0]) != "name"
    }
    return Operation(
        text(entry[1][0]),
        inputs,
        tuple(text(output[1][0]) for output in outputs),
        tuple(_dtype(output) for output in outputs),
        attributes,
    )


def _dtype(output: Fields) -> str:
    kind = fields(output[2][0])
    return DTYPES.get(fields(kind[1][0])[1][0], "") if 1 in kind else ""


def _value(entry: Fields, blob: Array) -> Constant:
    kind = fields(fields(entry[2][0])[1][0])
    number: int = kind[1][0]
    shape = tuple(fields(fields(size)[1][0]).get(1, [0])[0] for size in kind.get(3, []))
    if 5 in entry:  # noqa: PLR2004  blobFileValue
        return _from_blob(blob, fields(entry[5][0])[2][0], number, shape)
    tensor = fields(fields(entry[3][0])[1][0])
    ((form, (content,)),) = tensor.items()
    values = fields(content).get(1, [])
    if number == STRING:
        return " ".join(text(value) for value in values)
    return _immediate(form, values, number).reshape(shape)


def _immediate(form: int, values: list[Any], number: int) -> Array:
    """Return the numbers of a `TensorValue`: floats, ints, bools, -, longs, doubles, bytes."""
    if form in {1, 6, 7}:
        raw = b"".join(bytes(value) for value in values)
        if number in BITS:
            return np.frombuffer(raw, np.uint8)
        return np.frombuffer(raw, {1: "<f4", 6: "<f8", 7: DTYPES[number]}[form])
    return np.array(_varints(values), DTYPES[number])


def _from_blob(blob: Array, offset: int, number: int, shape: tuple[int, ...]) -> Array:
    """Return a view of an entry of `weight.bin`, smaller types spread to a byte each."""
    header = blob[offset : offset + 24].tobytes()
    sentinel = int.from_bytes(header[:4], "little")
    size = int.from_bytes(header[8:16], "little")
    start = int.from_bytes(header[16:24], "little")
    if sentinel != SENTINEL or start + size > len(blob):
        raise ValueError(f"no weights at offset {offset}")
    data = blob[start : start + size]
    count = int(np.prod(shape))
    if number == INT4:
        return ((unpack(data, 4, count) ^ 8) - 8).reshape(shape)
    if number in BITS:
        return unpack(data, BITS[number], count).reshape(shape)
    return data.view(DTYPES[number]).reshape(shape)


def unpack(data: Array, bits: int, count: int) -> Array:
    """Return `count` whole numbers of `bits` bits each, packed lowest bit first, as int64."""
    stream = np.unpackbits(np.asarray(data).view(np.uint8), bitorder="little", count=count * bits)
    weights = 1 << np.arange(bits, dtype=np.int64)
    return stream.reshape(count, bits) @ weights

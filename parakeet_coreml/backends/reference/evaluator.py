"""Evaluate a MIL program with NumPy: the reference that stands in for Apple's runtime off a Mac.

Knows the operations that Parakeet's packages use. Numbers of half precision are computed in single
precision; `half=True` rounds every result that the program declares as half, which shows
overflow and loss the way a device that stores halves would, though not to the last bit.

Correct first, then quick enough to test with: whatever depends on constants alone is computed once,
at load.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from parakeet_coreml.backends.reference import layers, operations
from parakeet_coreml.backends.reference.mlpackage import (
    Array,
    Constant,
    Description,
    Name,
    Operation,
    Package,
    check_inputs,
    read_package,
)
from parakeet_coreml.backends.reference.operations import Kernel, Numbers, inside
from parakeet_coreml.errors import ModelCorruptError, ModelUnusableError

KERNELS = operations.TABLE | layers.TABLE
"""Every operation that is known here."""


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
        _check_names(path, package)
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
        values |= {Name(name): inside(array) for name, array in inputs.items()}
        for step, spent in zip(self._steps, self._spent, strict=True):
            _run(step, values)
            for name in spent:
                del values[name]
        return {name: _outside(np.asarray(values[name])) for name in self._results}


def _check_names(path: Path, package: Package) -> None:
    """Raise `ModelCorruptError` if the program uses a value before something gives it."""
    known = {str(name) for name in package.description.inputs}
    for operation in package.operations:
        twice = operation.inputs.keys() & operation.attributes.keys()
        if twice or not all(operation.inputs.values()):
            raise ModelCorruptError(f"'{path}' is damaged: '{operation.kind}' has odd arguments")
        bound = (value for values in operation.inputs.values() for value in values)
        _require(path, known, (value for value in bound if isinstance(value, Name)))
        known.update(operation.outputs)
    _require(path, known, package.results)


def _require(path: Path, known: set[str], names: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ModelCorruptError(f"'{path}' is damaged: nothing in it gives {name!r}")


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
    # Another operation set or shape, or a damaged one: text for a number, an axis too far, …
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ModelUnusableError(
            f"the reference evaluator cannot run '{step.kind}': {error}"
        ) from error
    results = found if isinstance(found, tuple) else (found,)
    for name, result, half in zip(step.outputs, results, step.halves, strict=False):
        rounded = result.astype(np.float16).astype(np.float32) if half else result
        values[Name(name)] = rounded


def _outside(array: Array) -> Array:
    """Return a result as the border has it: float32 or int32, contiguous, nobody else's."""
    return np.array(array, np.float32 if array.dtype.kind == "f" else np.int32, order="C")

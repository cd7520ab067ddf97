"""Load and run Core ML programs: Apple's runtime on a Mac, our reference evaluator elsewhere.

Apple's runtime is reached through coremltools' private binding, and here alone. `import
coremltools` would load the conversion stack too (over a thousand modules, about a second), of which
prediction needs nothing, so the extension module is loaded by itself, under its canonical name: a
later import of the whole package then finds it there and does not register its types twice.

What the binding does, and why this module is careful (coremltools 9.0, CoreMLPython.mm):

* it takes float32, float64, int32 and int8, writable; what it cannot take it tries as an image;
* inputs are not copied, and Core ML lets go of them about a second after the prediction, on its
  own thread and without the GIL, so a reference may be lost or freed under us (pull requests 2827
  and 2829): they are given from `Buffers` that live as long as the process;
* both arguments of `predict` and all five of the constructor must be given;
* an unknown compute unit means "all" without a word, so ours are checked here;
* whatever is not `.mlmodelc` is compiled anew each time, so packages are compiled once and kept;
* the GIL is held throughout: nothing else of the process moves during load and prediction.
"""

import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from parakeet_coreml.backends.base import COMPUTE_UNITS, INSTALL
from parakeet_coreml.backends.reference.evaluator import Evaluator
from parakeet_coreml.backends.reference.mlpackage import Array, Description, check_inputs, describe
from parakeet_coreml.errors import (
    BackendFailedError,
    ModelMissingError,
    ModelUnusableError,
    StorageError,
)
from parakeet_coreml.store.files import make_folders, tree

BINDING = "coremltools.libcoremlpython"
KNOWN = ((9, 0), (9, 1))
"""Versions of coremltools whose binding was read: its signatures changed in 8.0 and 8.1."""

UNITS = {units: units.upper() for units in COMPUTE_UNITS}
"""`--compute-units`, as the binding calls them."""

CURE = INSTALL["coreml"]


class Program(Protocol):
    """A loaded program, whoever runs it."""

    @property
    def description(self) -> Description:
        """What it takes and gives."""
        ...

    def predict(self, inputs: Mapping[str, Array], /) -> dict[str, Array]:
        """Run it once; gives float32 and int32 arrays. Raises `BackendFailedError`."""
        ...


def runtime() -> str:
    """Return who runs programs here: `coreml`, or `reference` for our evaluator."""
    return "coreml" if platform.system() == "Darwin" else "reference"


def load(path: Path, units: str, *, kept: Path) -> Program:
    """Load an `.mlmodelc` or `.mlpackage` for a choice of `UNITS`.

    `kept` is the folder where packages that Core ML compiled are kept; it is used on a Mac alone,
    and need not exist. Raises `ModelMissingError` if `path` is absent, `ModelUnusableError` if it
    will not load here, `ModelCorruptError` if it is damaged, `StorageError` if what was compiled
    cannot be kept, and `ValueError` for unknown units.
    """
    if units not in UNITS:
        raise ValueError(units)
    if not path.is_dir():
        raise ModelMissingError(f"no '{path}'")
    if runtime() == "coreml":
        return AppleProgram(path, units, kept=kept)
    if path.suffix != ".mlpackage":
        raise ModelUnusableError(
            f"'{path.name}' is compiled for Macs",
            "elsewhere only an .mlpackage can be evaluated; or use --backend onnx",
        )
    return Evaluator(path)


class AppleProgram:
    """A program that Core ML runs. For one thread at a time."""

    def __init__(self, path: Path, units: str, *, kept: Path) -> None:
        proxy = proxy_class()
        self.description: Description = describe(path)
        self._name = path.name
        compiled = _compiled(path, kept, proxy.compileModel) if _is_package(path) else path
        try:
            self._proxy = proxy(str(compiled), UNITS[units], "", {}, None)
        except TypeError as error:
            raise _unknown_binding(error) from error
        except RuntimeError as error:
            raise ModelUnusableError(
                f"Core ML will not load '{path.name}' for {units} on {_system()}: {_line(error)}",
                "try --compute-units cpu_and_gpu or cpu_only",
            ) from error

    def predict(self, inputs: Mapping[str, Array], /) -> dict[str, Array]:
        """Run the program once; float32 and int32 in, the same out.

        Raises `BackendFailedError` if Core ML fails or the inputs do not fit.
        """
        if self.description.inputs:
            check_inputs(self.description.inputs, inputs)
        fed = {name: BUFFERS.filled(array) for name, array in inputs.items()}
        try:
            found = self._proxy.predict(fed, None)
        except TypeError as error:
            raise _unknown_binding(error) from error
        except RuntimeError as error:
            raise BackendFailedError(f"'{self._name}' failed: {_line(error)}") from error
        return {name: _plain(array) for name, array in found.items()}


def _is_package(path: Path) -> bool:
    return path.suffix == ".mlpackage"


_PLAIN = {np.dtype(np.float32), np.dtype(np.int32)}


def _plain(array: Array) -> Array:
    """Return an output contiguous: Core ML may leave gaps between its rows."""
    if array.dtype in _PLAIN and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int32)


def _system() -> str:
    """Return the system's build: what loads depends on it."""
    name = os.uname()
    return f"{name.sysname} {name.release}"


LONGEST_REASON = 500
"""Characters of a reason: behind it comes Core ML's stack."""


def _line(error: Exception) -> str:
    """Return the reason Core ML gives, in one line.

    coremltools prints the `userInfo` of an NSError: a dictionary of several lines with the reason
    as `NSLocalizedDescription` and the one behind it as `NSUnderlyingError` (apple/
    ml-stable-diffusion#5). Of anything else the first line counts; the rest is a stack.
    """
    text = str(error).strip()
    if not text.startswith("{"):
        return (text.splitlines() or ["no reason given"])[0]
    reasons = [
        " ".join(found.strip().strip('"').split())
        for key in ("NSLocalizedDescription", "NSUnderlyingError")
        for found in re.findall(rf"{key}\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;]*);", text)
    ]
    folded = "; ".join(reasons) or " ".join(text.split())
    return folded[:LONGEST_REASON] or "no reason given"


# The binding


def proxy_class() -> Any:  # noqa: ANN401  an untyped border, which ends in this module
    """Return `_MLModelProxy` of coremltools' binding, loaded by itself.

    Raises `ModelUnusableError` if coremltools is absent, was never looked at in this version, or
    was built for another interpreter.
    """
    module = sys.modules.get(BINDING) or _load_binding()
    try:
        return module._MLModelProxy  # noqa: SLF001  private, which is why the version is pinned
    except AttributeError as error:
        raise _unknown_binding(error) from error


def _load_binding() -> Any:  # noqa: ANN401  an untyped border, which ends in this module
    package = find_spec("coremltools")  # found, not executed
    places = package and package.submodule_search_locations
    spec = PathFinder.find_spec(BINDING, places) if places else None
    if spec is None or spec.loader is None:
        raise ModelUnusableError("Core ML needs coremltools, which is not installed", CURE)
    _check_version()
    module = module_from_spec(spec)
    sys.modules[BINDING] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[BINDING]
        raise ModelUnusableError(f"coremltools will not load: {_line(error)}", CURE) from error
    return module


def _check_version() -> None:
    """Refuse a coremltools that nobody looked at; a frozen app has the right one, unnamed."""
    try:
        version = metadata.version("coremltools")
    except metadata.PackageNotFoundError:
        return
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) not in KNOWN:
        raise ModelUnusableError(f"coremltools {version} is not known to work", CURE)


def _unknown_binding(error: Exception) -> ModelUnusableError:
    return ModelUnusableError(f"coremltools' binding has changed: {_line(error)}", CURE)


# Packages compiled once


def _compiled(package: Path, kept: Path, compiler: Callable[[str], str]) -> Path:
    """Return the compiled form of a package, made at the first use and kept.

    Core ML keeps what it specialised by path and age, so the path stays the same until the package
    changes; a temporary one would cost a full compilation at each start. Raises `StorageError`.
    """
    try:
        place = hashlib.sha256(os.fsencode(package.absolute())).hexdigest()[:12]
        target = kept / place / _form_of(package) / f"{package.stem}.mlmodelc"
        if target.is_dir():
            return target
        shutil.rmtree(kept / place, ignore_errors=True)  # of an earlier form of the package
        make_folders(target.parent)
        made = _compile(package, compiler)
        partial = target.with_name(f"{os.getpid()}.partial")
        shutil.move(made, partial)
        _settle(partial, target)
    except OSError as error:
        raise StorageError(
            f"cannot keep the compiled form of '{package.name}' in '{kept}': {error.strerror}",
            "choose another folder with --models-dir",
        ) from error
    return target


def _form_of(package: Path) -> str:
    """Return what changes whenever a file of the package does, its weights included."""
    (package / "Data" / "com.apple.CoreML" / "model.mlmodel").stat()  # else it is no package
    digest = hashlib.sha256()
    for path, entry in sorted(tree(package)):
        if stat.S_ISREG(entry.st_mode):
            name = os.fsencode(path.relative_to(package))
            digest.update(b"%s\0%d\0%d\0" % (name, entry.st_size, entry.st_mtime_ns))
    return digest.hexdigest()[:16]


def _settle(partial: Path, target: Path) -> None:
    """Put a finished folder in its place, unless another process was first."""
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def _compile(package: Path, compiler: Callable[[str], str]) -> str:
    try:
        return compiler(str(package))
    except RuntimeError as error:
        raise ModelUnusableError(f"Core ML will not compile '{package}': {_line(error)}") from error


# Inputs


class Buffers:
    """Input arrays that outlive every prediction, each used again once Core ML let go of it.

    The late release happens without the GIL, so that a count of references may go wrong by one;
    with `REFERENCES` of them no such slip reaches zero. The arrays are never freed: as many stay as
    predictions start within `REST`.
    """

    REST = 3.0
    """Seconds that a buffer is left alone. Core ML was seen to hold on for one."""

    REFERENCES = 256

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._queues: dict[tuple[str, tuple[int, ...]], deque[tuple[float, Array]]] = {}
        self._pins: list[tuple[Array, ...]] = []

    def filled(self, array: Array) -> Array:
        """Return a contiguous, writable copy of `array` in a buffer that rested."""
        key = array.dtype.char, array.shape
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        now = self._clock()
        if queue and now - queue[0][0] >= self.REST:
            _, buffer = queue.popleft()
        else:
            buffer = np.empty(array.shape, array.dtype)
            self._pins.append((buffer,) * self.REFERENCES)  # a list is gone through by each GC
        queue.append((now, buffer))
        np.copyto(buffer, array)
        return buffer

    def __len__(self) -> int:
        return len(self._pins)


BUFFERS = Buffers()
"""Of this process: one for all programs, kept to its end."""

"""A stand-in for coremltools' binding: the reference evaluator behind Apple's strictness.

`installed` lays out a folder as pip would leave it, puts it first on the path and makes the machine
look like a Mac. The package itself raises when it is imported: prediction must do without it. Only
what `CoreMLPython.mm` of coremltools 9.0 accepts is accepted, and what it does with inputs, outputs
and packages is done here too.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from parakeet_coreml.backends.reference.evaluator import Evaluator
from parakeet_coreml.backends.reference.mlpackage import Feature, describe

PACKAGE = 'raise ImportError("prediction must not load the converters")\n'
EXTENSION = """
import sys

_MLModelProxy = sys.modules["standin"].MLModelProxy
"""
UNITS = {"ALL", "CPU_AND_GPU", "CPU_ONLY", "CPU_AND_NE"}


ELSEWHERE = """
import sys

sys.path.append({tests!r})
from standin import MLModelProxy as _MLModelProxy
"""
"""The extension in another process."""

MAC = """
import platform

platform.system = lambda: "Darwin"
"""


def lay_out(site: Path, extension: str, version: str) -> None:
    """Write the folder that pip would leave."""
    (site / "coremltools").mkdir(parents=True)
    (site / "coremltools" / "__init__.py").write_text(PACKAGE)
    (site / "coremltools" / "libcoremlpython.py").write_text(extension)
    if version:
        about = site / f"coremltools-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: coremltools\nVersion: {version}\n")


def for_programs(site: Path, more: str = "") -> dict[str, str]:
    """Return an environment whose Pythons take the machine for a Mac with the stand-in on it.

    `more` is Python that may change `_MLModelProxy` there.
    """
    lay_out(site, ELSEWHERE.format(tests=str(Path(__file__).parent)) + more, "9.0")
    (site / "sitecustomize.py").write_text(MAC)
    return {**os.environ, "PYTHONPATH": str(site), "TMPDIR": str(site)}


def installed(monkeypatch: pytest.MonkeyPatch, site: Path, version: str = "9.0") -> None:
    """Install the stand-in for one test."""
    lay_out(site, EXTENSION, version)
    monkeypatch.setitem(sys.modules, "standin", sys.modules[__name__])
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(tempfile, "tempdir", str(site))  # where packages are compiled
    monkeypatch.delitem(sys.modules, "coremltools.libcoremlpython", raising=False)
    # Deleted when the test ends, whoever put it there.
    monkeypatch.setitem(sys.modules, "coremltools.libcoremlpython", None)
    del sys.modules["coremltools.libcoremlpython"]
    a_mac(monkeypatch)
    MLModelProxy.reset()


def a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine look like a Mac."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")


def compile_package(package: Path, folder: Path, *, described: bool = True) -> Path:
    """Make an `.mlmodelc` that the stand-in runs, with or without its `metadata.json`."""
    compiled = folder / f"{package.stem}.mlmodelc"
    shutil.copytree(package, compiled / "standin.mlpackage")
    if described:
        found = describe(package)
        schema = {"inputSchema": _schema(found.inputs), "outputSchema": _schema(found.outputs)}
        (compiled / "metadata.json").write_text(json.dumps([schema]))
    return compiled


def _schema(features: Any) -> list[dict[str, str]]:
    names = {"float32": "Float32", "int32": "Int32"}
    return [
        {
            "name": name,
            "dataType": names[feature.dtype],
            "shape": json.dumps(list(feature.shape)) if feature.shape else "[]",
            "hasShapeFlexibility": str(int(feature.flexible)),
        }
        for name, feature in features.items()
    ]


def user_info(reason: str) -> str:
    """Return what coremltools' `handleError` throws: an NSError's `userInfo`, printed by Apple."""
    return f'{{\n    NSLocalizedDescription = "{reason}";\n    NSFilePath = "/models";\n}}'


class MLModelProxy:
    """`_MLModelProxy` of libcoremlpython."""

    loaded: ClassVar[list[tuple[str, str]]] = []
    """Programs by path and the compute units asked for."""
    compiled: ClassVar[list[str]] = []
    """Packages compiled, with each one that was not handed over compiled."""
    fed: ClassVar[list[Any]] = []
    """Input arrays, held as Core ML holds them: without counting."""
    refuse: ClassVar[set[str]] = set()
    """Compute units that will not load."""
    fail: ClassVar[str] = ""
    """What `predict` fails with."""
    answers: ClassVar[dict[str, Any]] = {}
    """Outputs to give instead of the true ones."""

    @classmethod
    def reset(cls) -> None:
        cls.loaded, cls.compiled, cls.fed, cls.refuse = [], [], [], set()
        cls.fail, cls.answers = "", {}

    def __init__(self, *arguments: Any) -> None:
        _match("__init__", arguments, (str, str, str, dict, type(None)))
        path, units, function, hints, _ = arguments
        assert units in UNITS, "the real one would take ALL without a word"
        assert (function, hints) == ("", {})
        if not path.rstrip("/").endswith(".mlmodelc"):
            path = self.compileModel(path)
        if units in self.refuse:
            raise RuntimeError(user_info(f"Error loading model for {units}"))
        MLModelProxy.loaded.append((path, units))
        self._program = Evaluator(Path(path) / "standin.mlpackage")

    @staticmethod
    def compileModel(path: str) -> str:  # noqa: N802  the binding's name
        MLModelProxy.compiled.append(path)
        if not (Path(path) / "Manifest.json").is_file():
            raise RuntimeError(f"Error compiling model: {path} is no package")
        return str(compile_package(Path(path), Path(tempfile.mkdtemp()), described=False))

    def predict(self, *arguments: Any) -> dict[str, Any]:
        _match("predict", arguments, (dict, type(None)))
        (inputs, _) = arguments
        if self.fail:
            raise RuntimeError(user_info(self.fail))
        features = self._program.description.inputs
        for name, array in inputs.items():
            _accept(name, array, features)
            MLModelProxy.fed.append(array)
        outputs = self._program.predict({k: np.array(v) for k, v in inputs.items()})
        return {k: _strided(self.answers.get(k, v)) for k, v in outputs.items()}


def _match(name: str, arguments: tuple[Any, ...], types: tuple[type, ...]) -> None:
    """Refuse arguments as pybind11 does."""
    fits = len(arguments) == len(types) and all(map(isinstance, arguments, types))
    if not fits:
        raise TypeError(f"{name}(): incompatible function arguments")


def _accept(name: str, array: Any, features: Any) -> None:
    """Take what `convertToMLMultiArray` takes, and fail on the rest as Core ML does."""
    if array.dtype not in (np.float32, np.float64, np.int32, np.int8) or not array.flags.writeable:
        print("Error: value type not convertible:", array)
        raise RuntimeError(f"Failed to convert the input {name} from numpy to Core ML")
    feature: Feature = features[name]
    right = array.shape == feature.shape or (
        feature.flexible and array.ndim == len(feature.shape) and array.shape[1] <= 240_000
    )
    if not right or array.dtype != feature.dtype:
        raise RuntimeError(
            f"MultiArray shape {array.shape} does not match the shape {feature.shape} "
            f"specified in the model description"
        )


def _strided(array: Any) -> Any:
    """Return an output with gaps between its rows, as the Neural Engine's have."""
    array = np.asarray(array)
    if array.ndim == 0 or array.shape[-1] == 0:
        return array
    room = np.full((*array.shape[:-1], array.shape[-1] + 7), 77, array.dtype)
    room[..., : array.shape[-1]] = array
    return room[..., : array.shape[-1]]

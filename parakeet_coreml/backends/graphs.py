"""ONNX graphs: loaded, compared with a contract, and run. Sole importer of onnxruntime."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.backends.transducer.backend import HINT
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError

# From 1.29 on, importing this sends usage reports and leaves files in the home folder unless this
# is set before; whatever the user's environment says, a recorder does not phone home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

Session: TypeAlias = ort.InferenceSession
VERSION: str = ort.__version__

_FATAL = 4  # ONNX Runtime's highest log severity: what fails is raised, not printed

_ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_state.EPFail,
    ort_state.EngineError,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    RuntimeError,
    ValueError,
)

_INTEGERS: dict[str, type[np.int32] | type[np.int64]] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def open_session(path: Path, *, threads: int, part: bytes | None = None) -> Session:
    """Load a graph, or a `part` of it. Raises `ModelUnusableError`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # Threads that spin while they wait burn a core between two windows.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    ort.set_default_logger_severity(_FATAL)
    try:
        session = ort.InferenceSession(
            str(path) if part is None else part,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would say so on stdout
        )
    except _ORT_ERRORS as e:
        raise ModelUnusableError(f"{path} will not load: {_reason(e)}", HINT) from e
    session._model_bytes = None  # noqa: SLF001  kept for a change of providers, weights and all
    return session


def check_names(
    path: Path, session: Session, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    """Compare a graph with the contract. Outputs beyond it do no harm, inputs do."""
    found_inputs = {i.name for i in session.get_inputs()}
    found_outputs = {o.name for o in session.get_outputs()}
    if found_inputs == set(inputs) and found_outputs >= set(outputs):
        return
    expected = f"{', '.join(inputs)} -> {', '.join(outputs)}"
    found = f"{', '.join(sorted(found_inputs))} -> {', '.join(sorted(found_outputs))}"
    raise ModelUnusableError(f"{path} is another graph: expected {expected}; found {found}", HINT)


def zeros_of(state: ort.NodeArg) -> NDArray[np.float32]:
    """Return the first state. Its batch dimension may be symbolic, the others may not."""
    match state.shape:
        case [int(layers), _, int(hidden)]:
            return np.zeros((layers, 1, hidden), dtype=np.float32)
        case shape:
            raise ModelUnusableError(f"the graph leaves the size of {state.name} open: {shape}")


def integer_of(node: ort.NodeArg) -> type[np.int32] | type[np.int64]:
    """Return the NumPy type of an integer input: published graphs differ."""
    if node.type not in _INTEGERS:
        raise ModelUnusableError(f"the graph wants {node.name} as {node.type}, not as integers")
    return _INTEGERS[node.type]


def run(
    session: Session, outputs: tuple[str, ...], feeds: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """Return the outputs that are named. Raises `BackendFailedError`."""
    try:
        results: list[NDArray[Any]] = session.run(outputs, feeds)
    except _ORT_ERRORS as e:
        raise BackendFailedError(_reason(e)) from e
    return results


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, in one line and without its prefix of codes."""
    return (str(error).splitlines() or ["no reason given"])[0].rpartition(" : ")[2]


class Bound:
    """A graph with inputs of given shapes and its outputs bound for good.

    `run` of a session checks and wraps each of them at every call, which takes a fifth of the time
    of a small graph, and so does binding others; to copy a state takes next to nothing.
    """

    def __init__(
        self, session: Session, feeds: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]
    ) -> None:
        """Run it once with `feeds`. Raises `BackendFailedError`."""
        self.results = [array.copy() for array in run(session, outputs, feeds)]
        """In the order of `outputs`; each run writes to them."""
        self.feeds = [np.array(array, order="C") for array in feeds.values()]
        """To be written to."""
        self._session = session
        self._binding = session.io_binding()
        for name, array in zip(feeds, self.feeds, strict=True):
            self._binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in zip(outputs, self.results, strict=True):
            self._binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))

    def run(self) -> None:
        """Write to `results` what follows from `feeds`. Raises `BackendFailedError`."""
        try:
            self._session.run_with_iobinding(self._binding)
        except _ORT_ERRORS as e:
            raise BackendFailedError(_reason(e)) from e

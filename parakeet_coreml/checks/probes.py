"""Questions that may crash or hang, each asked in a process of its own for a limited time."""

import importlib
import importlib.util
import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict

from parakeet_coreml.audio.devices import list_devices
from parakeet_coreml.backends.base import INSTALL
from parakeet_coreml.backends.registry import RUNTIMES
from parakeet_coreml.checks.report import Fields
from parakeet_coreml.errors import ModelUnusableError, ParakeetError

DEVICES = "devices"
PROBES = (DEVICES, *RUNTIMES)
"""What is asked in a process of its own."""

PATIENCE = 30.0
"""Seconds all of them together may take; a first import from a slow disk takes some."""

AGAIN = "pip install --force-reinstall parakeet-coreml"


def answer(what: str) -> str:
    """Answer one of `PROBES` with one line of JSON; the part that runs in its own process."""
    # The kernel ends a probe that is stuck in a library, should nobody be there to do it.
    signal.alarm(round(PATIENCE))
    try:
        if what == DEVICES:
            return json.dumps({"devices": [asdict(found) for found in list_devices()]})
        return json.dumps({"runtime": runtime_of(what)})
    except ParakeetError as error:
        fields = {"message": error.message, "cure": error.hint}
    except ImportError as error:
        fields = {"message": f"it will not load: {error}", "cure": INSTALL.get(what, AGAIN)}
    return json.dumps({"failed": fields})


def runtime_of(backend: str) -> str:
    """Load a backend's runtime, no model, and return its name and version.

    Raises `ImportError` or `ModelUnusableError` if it is absent or will not load, and may crash.
    """
    package = RUNTIMES[backend]
    if backend != "coreml" and importlib.util.find_spec(package) is None:
        raise ModelUnusableError(f"the package {package} is absent", INSTALL[backend])
    # Imported here, for each may be absent.
    if backend == "onnx":
        importlib.import_module("parakeet_coreml.backends.onnx")
        return f"onnxruntime {sys.modules['onnxruntime'].__version__}"
    if backend == "mlx":
        from parakeet_coreml.backends import mlx  # noqa: PLC0415  see above

        return f"mlx {mlx.mx.__version__}"
    from parakeet_coreml.backends import binding  # noqa: PLC0415  see above

    if binding.runtime() == "coreml":
        binding.proxy_class()  # only whether it loads
    return binding.runtime()


class Probes:
    """One process for each question, all at work from the start."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE
        self._asked = {what: _ask(what) for what in PROBES}

    def answers(self) -> dict[str, Fields]:
        """Wait for all of them. An answer has `failed` in it, or else what was asked."""
        return {what: self._answer(asked) for what, asked in self._asked.items()}

    def _answer(self, asked: "subprocess.Popen[str] | str") -> Fields:
        if isinstance(asked, str):
            return _failed(asked)
        try:
            stdout, stderr = asked.communicate(timeout=max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            asked.kill()
            with suppress(subprocess.TimeoutExpired):  # a stuck kernel call outlives even that
                asked.communicate(timeout=1.0)
            return _failed(f"no answer within {PATIENCE:g} s")
        try:
            found = json.loads((stdout.splitlines() or [""])[-1])
        except ValueError:
            return _failed(_end_of(asked.returncode, stderr))
        return found if isinstance(found, dict) else _failed("an answer that makes no sense")


def _ask(what: str) -> "subprocess.Popen[str] | str":
    """Start a probe; where that fails, return why."""
    own = [] if getattr(sys, "frozen", False) else ["-P", "-m", "parakeet_coreml"]
    try:
        return subprocess.Popen(
            [sys.executable, *own, "doctor", "--probe", what],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        return f"no process could be started: {error.strerror}"


def _failed(message: str) -> Fields:
    return {"failed": {"message": message, "cure": ""}}


def _end_of(code: int, stderr: str) -> str:
    """Say how a probe ended that gave no answer."""
    if code < 0:
        return f"it crashed: {signal.strsignal(-code) or -code}"
    return f"it failed: {(stderr.strip().splitlines() or [f'exit code {code}'])[-1]}"

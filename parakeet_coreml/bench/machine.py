"""Where a run is made, and what else is going on there. Sole importer of psutil."""

import datetime as dt
import os
import platform
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from parakeet_coreml import __version__

LIBRARIES = (
    *("numpy", "onnxruntime", "coremltools", "mlx", "parakeet-mlx", "onnx-asr"),
    *("jiwer", "whisper-normalizer", "soxr", "soundfile"),
)
"""What figures depend on."""

BUSY = 0.2
"""Cores that others may use during a run before it is called busy."""

LOOK = 0.05
"""Seconds between two looks at the memory of a run."""

SEARCH = 1.0
"""Seconds between two searches for its child, once one was found: a search reads all processes."""


def describe() -> dict[str, object]:
    """Return the machine and the versions."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "macos": platform.mac_ver()[0] or None,
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "frozen": bool(getattr(sys, "frozen", False)),
        "version": __version__,
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class Load:
    """How much of the machine others used since this was made."""

    def __init__(self) -> None:
        self._began, self._busy = time.monotonic(), _busy()

    def others(self, own: float) -> float:
        """Return how many cores others used on average; `own` is our CPU time since, in seconds."""
        passed = time.monotonic() - self._began
        return max(0.0, (_busy() - self._busy - own) / max(passed, 1e-3))


def _busy() -> float:
    times = psutil.cpu_times()
    # Linux counts what a guest used in `user`, and what waits for a disk as neither.
    idle = {"idle", "iowait", "guest", "guest_nice", "steal"}
    return float(sum(spent for name, spent in times._asdict().items() if name not in idle))


class Memory:
    """The peak memory of a process and of its child, watched from a thread until `peaks`."""

    def __init__(self, pid: int) -> None:
        self._peaks: dict[int, float] = {}
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peaks(self) -> tuple[float | None, float | None]:
        """Return the peaks of the process and of what it started, in MB; None where not seen."""
        self._over.set()
        self._thread.join()
        others = [peak for pid, peak in self._peaks.items() if pid != self._pid]
        return self._peaks.get(self._pid), sum(others) if others else None

    def _watch(self) -> None:
        try:
            process = psutil.Process(self._pid)
            children, searched = list[psutil.Process](), 0.0
            while not self._over.wait(LOOK):
                if not children or time.monotonic() - searched > SEARCH:
                    children, searched = process.children(), time.monotonic()
                for each in (process, *children):
                    peak = max(self._peaks.get(each.pid, 0.0), _resident(each))
                    self._peaks[each.pid] = peak
        except psutil.Error:
            return  # it has ended


def _resident(process: psutil.Process) -> float:
    """Return the memory of a process in MB: its peak where the system keeps it."""
    status = Path(f"/proc/{process.pid}/status")
    try:
        for line in status.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0

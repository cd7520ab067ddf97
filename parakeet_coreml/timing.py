"""The waterfall of one recording: when each stage was reached, and what its windows cost."""

import threading
import time

CALLS = ("tokens", "predictor_calls", "joint_calls", "retries")
"""What is counted of a window."""

TIMES = ("audio_ms", "waiting_ms", "elapsed_ms", "features_ms", "encoder_ms", "search_ms")
"""What is measured of a window."""

Figures = dict[str, int | float | bool]
"""Of a window, or of all; what could not be measured is not there."""


class Waterfall:
    """Milliseconds from the program's first line to each stage, monotonic. Thread-safe."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.epoch = time.time() * 1000
        """The Unix time of that first line, in ms."""
        self._stages: dict[str, int] = {}
        self._sums: Figures = {}
        self._lock = threading.Lock()

    def mark(self, stage: str, *, again: bool = False) -> None:
        """Note that a stage was reached; the first time counts, with `again` the last."""
        now = round((time.monotonic() - self._start) * 1000)
        name = f"{stage}_ms"
        with self._lock:
            if again or name not in self._stages:
                self._stages[name] = now

    def since(self, moment: float) -> float:
        """Return the ms from the program's first line to a moment of the monotonic clock."""
        return round((moment - self._start) * 1000, 1)

    def key(self, unix_ms: float) -> None:
        """Note when the host's key was pressed: before the program started."""
        with self._lock:
            self._stages["key_ms"] = round(unix_ms - self.epoch)

    def stages(self) -> dict[str, int]:
        """Return the stages reached so far, in order of time."""
        with self._lock:
            return dict(sorted(self._stages.items(), key=lambda stage: stage[1]))

    def window(self, figures: Figures) -> int:
        """Add the figures of one window to the sums, and return how many were before it."""
        with self._lock:
            before = int(self._sums.get("windows", 0))
            self._sums["windows"] = before + 1
            self._sums["ahead"] = self._sums.get("ahead", 0) + bool(figures.get("ahead"))
            for name in (*TIMES, *CALLS):
                if name in figures:
                    self._sums[name] = round(self._sums.get(name, 0) + figures[name], 1)
        return before

    def sums(self) -> Figures:
        """Return the sums over all windows so far."""
        with self._lock:
            return dict(self._sums)

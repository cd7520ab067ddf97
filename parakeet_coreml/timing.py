"""The waterfall of one recording: when each stage was reached, on the monotonic clock."""

import threading
import time


class Waterfall:
    """Milliseconds from the program's first line to each stage. Thread-safe."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._stages: dict[str, int] = {}
        self._lock = threading.Lock()

    def mark(self, stage: str) -> None:
        """Note that a stage was reached; only the first time counts."""
        now = round((time.monotonic() - self._start) * 1000)
        with self._lock:
            self._stages.setdefault(f"{stage}_ms", now)

    def stages(self) -> dict[str, int]:
        """Return the stages reached so far, in order."""
        with self._lock:
            return dict(self._stages)

"""How a recording is cut into windows and lines: arithmetic on samples. Pure, and without NumPy."""

from dataclasses import dataclass

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, to_samples
from parakeet_coreml.errors import UsageError

MIN_CHUNK, MAX_CHUNK = 5.0, 120.0
"""Seconds a chunk may span; above, a line with timed words would pass 64 KiB."""

MIN_HOP = 3.0
"""Seconds a chunk must be longer than its overlap, or windows would hardly advance."""


MIN_PAUSE_MS, MAX_PAUSE_MS = 300, 5000
"""Quiet that may end a line: less is not yet a pause, more is never waited for."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a recording is cut, in samples."""

    size: int
    """What a window spans."""
    overlap: int
    line: int
    """What a line spans; more than `size` when several windows make one line."""
    pause: int | None = None
    """Quiet that ends a line; None where time alone does."""

    @property
    def hop(self) -> int:
        """Samples from the start of one window to the next."""
        return self.size - self.overlap

    @classmethod
    def of(
        cls, chunk_seconds: float, overlap_seconds: float, pause_ms: int | None = None
    ) -> "Geometry":
        """Return the geometry for the options; without `pause_ms` time alone ends a line.

        Raises `UsageError` unless 5 <= chunk <= 120, 0 <= overlap <= min(chunk, 15) - 3 and
        300 <= pause <= 5000.
        """
        if not MIN_CHUNK <= chunk_seconds <= MAX_CHUNK:
            raise UsageError(
                f"--chunk-seconds must be from {MIN_CHUNK:g} to {MAX_CHUNK:g}, "
                f"not {chunk_seconds:g}"
            )
        size = min(to_samples(chunk_seconds), MODEL_WINDOW)
        most = size / SAMPLE_RATE - MIN_HOP
        if not 0 <= overlap_seconds <= most:
            raise UsageError(
                f"--overlap-seconds must be from 0 to {most:g} (3 s less than a window), "
                f"not {overlap_seconds:g}"
            )
        if pause_ms is not None and not MIN_PAUSE_MS <= pause_ms <= MAX_PAUSE_MS:
            raise UsageError(
                f"--pause-ms must be from {MIN_PAUSE_MS} to {MAX_PAUSE_MS}, not {pause_ms}"
            )
        pause = None if pause_ms is None else to_samples(pause_ms / 1000)
        return cls(size, to_samples(overlap_seconds), to_samples(chunk_seconds), pause)

    def closes_line(self, stop: int) -> bool:
        """Return whether a line ends with the window that ends at `stop`, from the grid's start.

        A chunk longer than a window ends with the first window that reaches its last sample.
        """
        if self.line <= self.size:
            return True
        return stop // self.line > (stop - self.hop) // self.line

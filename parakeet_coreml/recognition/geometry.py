"""How a recording is cut into windows and lines: arithmetic on samples. Pure, and without NumPy."""

from dataclasses import dataclass

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, to_samples
from parakeet_coreml.errors import UsageError

MIN_CHUNK, MAX_CHUNK = 5.0, 120.0
"""Seconds a chunk may span; above, a line with timed words would pass 64 KiB."""

MIN_HOP = 3.0
"""Seconds a chunk must be longer than its overlap, or windows would hardly advance."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a recording is cut, in samples."""

    size: int
    """What a window spans."""
    overlap: int
    line: int
    """What a line spans; more than `size` when several windows make one line."""

    @property
    def hop(self) -> int:
        """Samples from the start of one window to the next."""
        return self.size - self.overlap

    @classmethod
    def of(cls, chunk_seconds: float, overlap_seconds: float) -> "Geometry":
        """Return the geometry for the two options.

        Raises `UsageError` unless 5 <= chunk <= 120 and 0 <= overlap <= min(chunk, 15) - 3.
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
        return cls(size, to_samples(overlap_seconds), to_samples(chunk_seconds))

    def closes_line(self, stop: int) -> bool:
        """Tell whether a line ends with the window that ends at `stop`.

        A chunk longer than a window ends with the first window that reaches its last sample.
        """
        if self.line <= self.size:
            return True
        return stop // self.line > (stop - self.hop) // self.line

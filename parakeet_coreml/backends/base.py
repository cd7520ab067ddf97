"""The one protocol that every backend keeps."""

from typing import Protocol

from parakeet_coreml.audio import Samples
from parakeet_coreml.result import Hypothesis


class Backend(Protocol):
    """Turns one window of audio into tokens.

    A backend knows nothing of microphones, silence, chunks or JSON, and keeps no memory from one
    window to the next.
    """

    @property
    def max_samples(self) -> int:
        """Longest window one call accepts, in samples at 16 kHz."""
        ...

    def transcribe(self, window: Samples, /) -> Hypothesis:
        """Transcribe one window of 1 to `max_samples` samples.

        Token times count from the window's first sample. Raises `BackendFailedError` or
        `ModelUnusableError`.
        """
        ...

    def close(self) -> None:
        """Let the model go. A second call does nothing."""
        ...

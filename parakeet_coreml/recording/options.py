"""What `progressive-record` was asked to do, and what of it can be refused at once."""

from dataclasses import dataclass

from parakeet_coreml.audio.samples import SAMPLE_RATE
from parakeet_coreml.errors import UsageError
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.selection import ModelSelection

LIVE_SECONDS = 14_400.0
"""Limit of what has no end of its own, where none was given: 4 h."""

MAX_SECONDS = 1e9
"""Largest limit that is one: 30 years."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options by name; their defaults are those of the command line."""

    input: str = "mic"
    realtime: bool = False
    input_rate: int = SAMPLE_RATE
    input_encoding: str = "s16le"
    device: str | None = None
    model: str = "v3"
    models_dir: str | None = None
    backend: str = "auto"
    compute_units: str | None = None
    chunk_seconds: float = 15.0
    overlap_seconds: float = 2.0
    max_seconds: float | None = None
    events: str = ""
    meta: bool = False
    words: bool = False
    format: str = "json"
    in_process: bool = False

    @property
    def selection(self) -> ModelSelection:
        """Which model, and who runs it."""
        return ModelSelection(self.model, self.models_dir, self.backend, self.compute_units)

    @property
    def live(self) -> bool:
        """Whether the source plays at its own pace and takes commands."""
        return self.input == "mic" or self.realtime

    @property
    def most_seconds(self) -> float:
        """Seconds of audio at most: a forgotten microphone ends, a file has its own end."""
        if self.max_seconds is not None:
            return self.max_seconds
        return LIVE_SECONDS if self.live or self.input == "-" else MAX_SECONDS

    def geometry(self) -> Geometry:
        """Return how the recording is cut, all of it checked.

        Raises `UsageError` for what no recording can be made of.
        """
        geometry = Geometry.of(self.chunk_seconds, self.overlap_seconds)
        if not 0 < self.most_seconds <= MAX_SECONDS:
            raise UsageError(
                f"--max-seconds must be above 0 and up to {MAX_SECONDS:g}, "
                f"not {self.most_seconds:g}"
            )
        if self.realtime and self.input == "-":
            raise UsageError(
                "--realtime plays a file, not raw PCM", "its writer sets the pace; leave it out"
            )
        return geometry

"""What `progressive-record` was asked to do, and what of it can be refused at once."""

from dataclasses import dataclass, replace

from parakeet_coreml.audio.samples import SAMPLE_RATE
from parakeet_coreml.backends.base import Term
from parakeet_coreml.errors import UsageError
from parakeet_coreml.host.stdio import STDOUT, is_terminal
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.selection import ModelSelection

LIVE_SECONDS = 14_400.0
"""Limit of what has no end of its own, where none was given: 4 h."""

MAX_SECONDS = 1e9
"""Largest limit that is one: 30 years."""


MIN_QUIET = 0.5
"""Seconds without speech that may end a recording: less is a breath."""

MAX_CHANNELS = 32
"""Of a file or a microphone."""

MAX_BOOST = 4.0
"""Beyond it terms are written that nobody spoke; the search caps what it adds besides."""

MAX_TAIL_MS = 1000
"""The longest that a microphone stays open after a stop."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options by name; their defaults are those of the command line."""

    input: str = "mic"
    realtime: bool = False
    input_rate: int = SAMPLE_RATE
    input_encoding: str = "s16le"
    device: str | tuple[str, ...] | None = None
    channel: str = "mix"
    model: str = "v3"
    models_dir: str | None = None
    backend: str = "auto"
    compute_units: str | None = None
    vocabulary: str | None = None
    phrase: tuple[str, ...] = ()
    boost: float = 1.0
    language: str | None = None
    chunk_seconds: float = 15.0
    overlap_seconds: float = 2.0
    max_seconds: float | None = None
    chunk_at: str | None = None
    pause_ms: int = 600
    auto_stop: float | None = None
    tail_ms: int = 0
    no_speculation: bool = False
    events: str = ""
    meta: bool = False
    words: bool = False
    format: str = "json"
    in_process: bool = False

    @property
    def selection(self) -> ModelSelection:
        """Which model, and who runs it."""
        return ModelSelection(
            self.model,
            self.models_dir,
            self.backend,
            self.compute_units,
            self.terms,
            self.boost,
            self.language,
        )

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms to prefer. Raises `UsageError` if they are none."""
        if self.vocabulary is None and not self.phrase:
            return ()
        from parakeet_coreml.recording.terms import terms_of  # noqa: PLC0415  for few

        return terms_of(self.vocabulary, self.phrase)

    @property
    def live(self) -> bool:
        """Whether the source plays at its own pace and takes commands."""
        return self.input == "mic" or self.realtime

    @property
    def speculates(self) -> bool:
        """Whether the open tail is decoded ahead of need: where audio comes as it is made."""
        return not self.no_speculation and (self.live or self.input == "-")

    @property
    def at_pauses(self) -> bool:
        """Whether lines end at pauses: by choice, or because a person reads them on a screen."""
        if self.chunk_at is None:
            return self.format == "text" and self.live and is_terminal(STDOUT)
        return self.chunk_at == "pause"

    @property
    def most_seconds(self) -> float:
        """Seconds of audio at most: a forgotten microphone ends, a file has its own end."""
        if self.max_seconds is not None:
            return self.max_seconds
        return LIVE_SECONDS if self.live or self.input == "-" else MAX_SECONDS

    @property
    def channel_number(self) -> int | None:
        """The channel to record, from 1; None is all of them. Raises `UsageError`."""
        if self.channel == "mix":
            return None
        number = int(self.channel) if self.channel in map(str, range(1, MAX_CHANNELS + 1)) else 0
        if number:
            return number
        raise UsageError(
            f"--channel must be mix or a number from 1 to {MAX_CHANNELS}, not '{self.channel}'"
        )

    def geometry(self) -> Geometry:
        """Return how the recording is cut, all of it checked.

        Raises `UsageError` for what no recording can be made of.
        """
        geometry = Geometry.of(self.chunk_seconds, self.overlap_seconds, self.pause_ms)
        if not self.at_pauses:
            geometry = replace(geometry, pause=None)
        if not 0 < self.most_seconds <= MAX_SECONDS:
            raise UsageError(
                f"--max-seconds must be above 0 and up to {MAX_SECONDS:g}, "
                f"not {self.most_seconds:g}"
            )
        if self.auto_stop is not None and not MIN_QUIET <= self.auto_stop <= MAX_SECONDS:
            raise UsageError(f"--auto-stop must be {MIN_QUIET:g} s or more, not {self.auto_stop:g}")
        if not 0 <= self.tail_ms <= MAX_TAIL_MS:
            raise UsageError(f"--tail-ms must be from 0 to {MAX_TAIL_MS}, not {self.tail_ms}")
        _ = self.channel_number
        if not 0 <= self.boost <= MAX_BOOST:
            raise UsageError(f"--boost must be from 0 to {MAX_BOOST:g}, not {self.boost:g}")
        self._check_language()
        if self.realtime and self.input == "-":
            raise UsageError(
                "--realtime plays a file, not raw PCM", "its writer sets the pace; leave it out"
            )
        return geometry

    def _check_language(self) -> None:
        if self.language is None:
            return
        from parakeet_coreml.backends.languages import SCRIPTS  # noqa: PLC0415  for few

        if self.language not in SCRIPTS:
            raise UsageError(
                f"--language does not know '{self.language}'",
                f"choose of {', '.join(sorted(SCRIPTS))}, or leave it out",
            )

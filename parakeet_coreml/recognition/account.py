"""Callbacks for what happens to a recording on its way, and where every sample of it went."""

from collections.abc import Callable
from dataclasses import dataclass

from parakeet_coreml.audio.samples import Samples
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.recognition.fallback import Decoded
from parakeet_coreml.recognition.live import Forecast
from parakeet_coreml.recognition.windows import Stretches


@dataclass(slots=True)
class Account:
    """Every sample at 16 kHz. At the end `captured == transcribed + silent + lost`."""

    captured: int = 0
    decoded: int = 0
    """Sample up to which windows went through the backend."""
    transcribed: int = 0
    silent: int = 0
    lost: int = 0
    """Samples whose window failed."""
    missed: Stretches = ()
    """Speech in no window and no further attempt in which the model decoded anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Callbacks for what happens on the way, called from the thread where it happens."""

    heard: Callable[[Samples, int], None]
    """Sees each piece of audio live, with the sample it starts at."""
    failed: Callable[[ParakeetError], None]
    """Takes a failure the moment it happens; what was captured before it still comes."""
    end_live: Callable[[], None] | None
    """Ends a live recording that cannot be kept up with; None where the source can wait."""
    nothing_to_decode: Callable[[], None] = lambda: None
    """Called at the end of the audio if none of it has to be decoded."""
    measured: Callable[[Decoded], None] = lambda _decoded: None
    """Takes each window when it is decoded, further attempts included."""
    quiet: Callable[[int], None] = lambda _samples: None
    """Takes the samples since the newest speech, once there was some."""
    look_within: Callable[[float], None] = lambda _seconds: None
    """Asks for what comes next in so many seconds: a pause may be there to be decoded."""
    rests: Callable[[bool], None] = lambda _resting: None
    """Takes whether what was heard so far ends in a pause, in which nothing has begun."""
    forecast: Callable[[Forecast, int], None] | None = None
    """Takes the words of the open line and the sample they reach to; None: nobody reads them."""

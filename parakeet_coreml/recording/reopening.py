"""A microphone that is lost while it records: whether it is opened again, and what that costs."""

import time
from typing import TYPE_CHECKING, NamedTuple

from parakeet_coreml.audio.samples import Samples, noise, to_samples
from parakeet_coreml.audio.source import Source
from parakeet_coreml.errors import DeviceLostError
from parakeet_coreml.recording.options import Options
from parakeet_coreml.recording.sources import Again, named

if TYPE_CHECKING:
    from parakeet_coreml.audio.opening import Rates

PATIENCE = 3.0
"""Seconds in which a microphone has to open again, as when headphones are put away or a sound
server starts anew."""

BETWEEN = 0.25
"""Seconds between two tries."""

RELEASE = 2.0
"""Seconds the old stream may take to close; PortAudio must not be started anew around it."""


class Loss(NamedTuple):
    """A microphone that gave samples and gives them no more, as they should be."""

    error: DeviceLostError
    name: str
    since: float
    """When its last samples came, on the monotonic clock."""
    learned: "Rates"
    """The rate it gives, where that was why."""

    def again(self, options: Options, rates: "Rates") -> Again:
        """Return what is to be opened: the system's microphone, or the very one that was named."""
        return Again(rates=rates, afresh=True, name=self.name if named(options) else None)

    def told(self, source: Source) -> tuple[str, Samples]:
        """Return what is to be said, and faint noise for what is missing before `source`."""
        from parakeet_coreml.audio.microphone import NOISE_RMS, Microphone  # noqa: PLC0415  lazy

        began = source.began if isinstance(source, Microphone) else None
        seconds = max(0.0, (began or time.monotonic()) - self.since)
        message = (
            f"{self.error.message}; recording goes on from {source.name!r} at {source.rate} Hz, "
            f"and about {seconds * 1000:.0f} ms were lost"
        )
        return message, noise(to_samples(seconds), NOISE_RMS)


def loss_of(source: Source, error: DeviceLostError, options: Options) -> Loss | None:
    """Return what a failure means; None where nothing is to be opened again.

    Nothing is where the device was named, unless it is still there and only its rate is wrong, nor
    where it never gave a sample.
    """
    from parakeet_coreml.audio.microphone import Microphone  # noqa: PLC0415  lazy

    if not isinstance(source, Microphone) or source.began is None:
        return None
    if source.true_rate:
        learned = {(source.name, source.claimed): source.true_rate}
        return Loss(error, source.name, source.ended, learned)
    return None if named(options) else Loss(error, source.name, source.ended, {})


def released(source: Source) -> bool:
    """Let a source go, and tell whether PortAudio has let go of it too and may start anew."""
    from parakeet_coreml.audio.microphone import Microphone  # noqa: PLC0415  lazy
    from parakeet_coreml.audio.portaudio import hangs  # noqa: PLC0415  lazy

    source.close()
    return isinstance(source, Microphone) and source.released(RELEASE) and not hangs()

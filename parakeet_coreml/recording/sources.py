"""Which source a recording listens to. Each is imported alone, for each brings its own library."""

import itertools
import math
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from parakeet_coreml.audio.onset import Onset
from parakeet_coreml.audio.source import Source, Warn
from parakeet_coreml.errors import ParakeetError, UsageError
from parakeet_coreml.host import stdio
from parakeet_coreml.recording.options import Options

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    import numpy as np
    from numpy.typing import NDArray

    from parakeet_coreml.audio.opening import Rates
    from parakeet_coreml.audio.resample import Counts
    from parakeet_coreml.audio.samples import Samples

AGAIN_AFTER = 1.5 if sys.platform == "darwin" else math.inf
"""Seconds without samples after which the system's microphone is opened again, if not 5 s.

On a Mac they stop when the headphones are put away, and PortAudio calls the stream active for
ever. On Linux a loss is told at once, and a sound server that holds everything up, for seconds,
has it all when it goes on."""

OPEN_AGAIN = 5.0
"""Seconds in which a lost microphone has to open: no permission is asked for, as at the start, and
the words before the loss wait for it, behind a stop 15 s at most."""


class Told(NamedTuple):
    """Who is told what a source does, from any thread."""

    warn: Warn
    begun: Callable[[], None]
    """The first sample of a microphone is there."""
    sounds: Callable[[Source, Onset], None]
    """A microphone gives sound: more than digital zeros, or those for long enough."""


class Again(NamedTuple):
    """What was learned of a microphone that is opened again."""

    rates: "Rates"
    afresh: bool = False
    """It was lost, and PortAudio has to look which ones there are now."""
    name: str | None = None
    """Of the very one that is wanted."""


def open_source(
    options: Options, told: Told, *, watched: bool, again: Again | None = None
) -> Source:
    """Open the microphone, a file or raw PCM on stdin; `watched` asks for small blocks.

    Raises `UsageError` for what is no input, and what the source raises.
    """
    if options.input == "mic":
        from parakeet_coreml.audio.microphone import LIVE_POLL, Microphone  # noqa: PLC0415  lazy

        device = options.device if again is None or again.name is None else again.name
        microphone = Microphone(device, warn=told.warn, begun=told.begun)
        if again is not None:
            microphone.rates, microphone.afresh = again.rates, again.afresh
        if microphone.afresh:
            microphone.open_timeout = min(microphone.open_timeout, OPEN_AGAIN)
        if not named(options):
            microphone.again_after = AGAIN_AFTER
        microphone.sounds = lambda onset: told.sounds(microphone, onset)
        microphone.channel = options.channel_number
        if watched:
            microphone.poll = LIVE_POLL
        microphone.open()
        return microphone
    if options.input == "-":
        from parakeet_coreml.audio.pcm import PcmSource  # noqa: PLC0415  lazy

        rate, encoding = options.input_rate, options.input_encoding
        return PcmSource(stdio.STDIN, rate=rate, encoding=encoding, warn=told.warn)
    if _is_pipe(options.input):
        from parakeet_coreml.audio.pcm import PipeSource  # noqa: PLC0415  lazy

        if options.realtime:
            raise UsageError(
                "--realtime plays a file, not a pipe", "its writer sets the pace; leave it out"
            )
        return PipeSource(options.input, warn=told.warn)
    from parakeet_coreml.audio.file import FileSource  # noqa: PLC0415  lazy

    file = FileSource(options.input, realtime=options.realtime, warn=told.warn)
    try:
        _check_channel(options.input, options.channel_number, file.channels)
    except UsageError:
        file.close()
        raise
    return file


def named(options: Options) -> bool:
    """Return whether the microphone was chosen, so that another one is no substitute."""
    device = options.device
    return any(name.strip() for name in ((device,) if isinstance(device, str) else device or ()))


def _check_channel(name: str, channel: int | None, channels: int) -> None:
    """Raise `UsageError` if a sound of so many channels lacks the one that was asked for."""
    if channel is not None and channel > channels:
        raise UsageError(
            f"'{name}' has {channels} channel{'s' * (channels > 1)}, no channel {channel}"
        )


def _is_pipe(path: str) -> bool:
    """Return whether a path names what can be read only as it comes."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  pathlib would have to load
    except (OSError, ValueError):
        return False  # reported where it is opened
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def heard(source: Source, counts: "Counts", channel: int | None = None) -> "Iterator[Samples]":
    """Yield a source's sound at 16 kHz, of one channel, from 1, or of all mixed.

    Waits for a first block: a stream's rate and channels come with it. Raises `UsageError` if it
    lacks the channel, and what the source raises, behind all that it gave: the resampler holds
    the newest back.
    """
    from parakeet_coreml.audio.resample import to_16k  # noqa: PLC0415  NumPy loads here

    failures: list[ParakeetError] = []
    blocks = _until_it_fails(source, failures)
    first = next(blocks, None)
    if first is not None:
        whole: Iterator[NDArray[np.float32]] = itertools.chain((first,), blocks)
        if channel is not None:
            _check_channel(source.name, channel, 1 if first.ndim == 1 else first.shape[1])
            whole = (block if block.ndim == 1 else block[:, channel - 1] for block in whole)
        yield from to_16k(whole, source.rate, counts=counts)
    if failures:
        raise failures[0]


def _until_it_fails(
    source: Source, failures: list[ParakeetError]
) -> "Iterator[NDArray[np.float32]]":
    try:
        yield from source.blocks()
    except ParakeetError as error:
        failures.append(error)

"""Which source a recording listens to. Each is imported alone, for each brings its own library."""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from parakeet_coreml.audio.source import Source, Warn
from parakeet_coreml.errors import UsageError
from parakeet_coreml.host import stdio
from parakeet_coreml.recording.options import Options

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.audio.resample import Counts
    from parakeet_coreml.audio.samples import Samples


def open_source(
    options: Options, *, warn: Warn, begun: Callable[[Source], None], watched: bool
) -> Source:
    """Open the microphone, a file or raw PCM on stdin.

    `begun` is called at the microphone's first sample; `watched` asks it for small blocks.
    Raises `UsageError` for what is no input, and what the source raises.
    """
    if options.input == "mic":
        from parakeet_coreml.audio.microphone import LIVE_POLL, Microphone  # noqa: PLC0415  lazy

        microphone = Microphone(options.device, warn=warn, begun=lambda: begun(microphone))
        microphone.channel = options.channel_number
        if watched:
            microphone.poll = LIVE_POLL
        microphone.open()
        return microphone
    if options.input == "-":
        from parakeet_coreml.audio.pcm import PcmSource  # noqa: PLC0415  lazy

        _check_channel(options, 1)
        rate, encoding = options.input_rate, options.input_encoding
        return PcmSource(stdio.STDIN, rate=rate, encoding=encoding, warn=warn)
    if _is_pipe(options.input):
        from parakeet_coreml.audio.pcm import PipeSource  # noqa: PLC0415  lazy

        if options.realtime:
            raise UsageError(
                "--realtime plays a file, not a pipe", "its writer sets the pace; leave it out"
            )
        if options.channel_number is not None:
            raise UsageError("--channel needs a file, not a pipe", "leave it out, or say mix")
        return PipeSource(options.input, warn=warn)
    from parakeet_coreml.audio.file import FileSource  # noqa: PLC0415  lazy

    file = FileSource(options.input, realtime=options.realtime, warn=warn)
    try:
        _check_channel(options, file.channels)
    except UsageError:
        file.close()
        raise
    return file


def _check_channel(options: Options, channels: int) -> None:
    """Raise `UsageError` if a file lacks the channel that was asked for."""
    if options.channel_number is not None and options.channel_number > channels:
        raise UsageError(
            f"'{options.input}' has {channels} channel{'s' * (channels > 1)},"
            f" no channel {options.channel_number}"
        )


def _is_pipe(path: str) -> bool:
    """Return whether a path names what can be read only as it comes."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  pathlib would have to load
    except (OSError, ValueError):
        return False  # reported where it is opened
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def heard(source: Source, counts: "Counts", channel: int | None = None) -> "Iterator[Samples]":
    """Return a source's sound at 16 kHz, of one channel, from 1, or of all mixed.

    Waits for a first block: a stream's rate comes with it.
    """
    from parakeet_coreml.audio.resample import to_16k  # noqa: PLC0415  NumPy loads here

    blocks = source.blocks()
    first = next(blocks, None)
    if first is None:
        return iter(())
    whole = itertools.chain((first,), blocks)
    if channel is None:
        return to_16k(whole, source.rate, counts=counts)
    one = (block if block.ndim == 1 else block[:, channel - 1] for block in whole)
    return to_16k(one, source.rate, counts=counts)

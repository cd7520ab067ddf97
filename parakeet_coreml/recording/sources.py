"""Which source a recording listens to. Each is imported alone, for each brings its own library."""

from collections.abc import Callable

from parakeet_coreml.audio.source import Source, Warn
from parakeet_coreml.host import stdio
from parakeet_coreml.recording.options import Options


def open_source(
    options: Options, *, warn: Warn, begun: Callable[[Source], None], watched: bool
) -> Source:
    """Open the microphone, a file or raw PCM on stdin.

    `begun` is told when the microphone gives its first sample; `watched` asks it for small blocks.
    Raises `UsageError` for what is no input, and what the source raises.
    """
    if options.input == "mic":
        from parakeet_coreml.audio.microphone import LIVE_POLL, Microphone  # noqa: PLC0415  lazy

        microphone = Microphone(options.device, warn=warn, begun=lambda: begun(microphone))
        if watched:
            microphone.poll = LIVE_POLL
        microphone.open()
        return microphone
    if options.input == "-":
        from parakeet_coreml.audio.pcm import PcmSource  # noqa: PLC0415  lazy

        rate, encoding = options.input_rate, options.input_encoding
        return PcmSource(stdio.STDIN, rate=rate, encoding=encoding, warn=warn)
    from parakeet_coreml.audio.file import FileSource  # noqa: PLC0415  lazy

    return FileSource(options.input, realtime=options.realtime, warn=warn)

"""A sound file that comes through a pipe, distinguished from raw PCM by its first bytes."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio import mp3, ogg
from parakeet_coreml.audio.containers import Layout, kind_of, layout, names_chunk, unclaimed_flac
from parakeet_coreml.audio.decoder import ENDLESS, Decoder, Pump, Stream, read_on, unreadable
from parakeet_coreml.audio.source import Warn
from parakeet_coreml.errors import StorageError, UsageError

SNIFFED = 12
"""Bytes that identify a sound file: 6 ms of raw PCM at 16 kHz."""

FRAMES = 4_096
"""Bytes that hold two MPEG frames, looked at only where the first two bytes begin one."""

HEADER = 1 << 22
"""Bytes before the samples of a stream; pictures may lie there."""

BLOCK = 0.25
"""Seconds of sound in a block."""


class Pieces:
    """Bytes as they come, of which the first can be looked at before they are taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._kept = b""
        self.waiting = False
        """Whether more bytes are being waited for."""
        self.ended = False
        """There are no more than were looked at."""

    def peek(self, at: int, count: int) -> bytes:
        """Return up to so many bytes from a place, waiting for them; fewer only at the end."""
        while len(self._kept) < at + count <= HEADER:
            piece = self._next()
            if piece is None:
                break
            self._kept += piece
        return self._kept[at : at + count]

    def _next(self) -> bytes | None:
        self.waiting = True
        piece = next(self._pieces, None)
        self.waiting = False
        self.ended = piece is None
        return piece

    def after(self, start: int) -> Iterator[bytes]:
        """Yield everything from a place that was looked at to the end."""
        rest, self._kept = self._kept[start:], b""
        if rest:
            yield rest
        while (piece := self._next()) is not None:
            yield piece


def recognised(pieces: Pieces) -> tuple[str, bool]:
    """Return the kind of sound file that begins, "" for none, and whether it can be read."""
    head = pieces.peek(0, SNIFFED)
    kind, known = kind_of(head)
    if not kind and mp3.frame_length(head) and mp3.begins(pieces.peek(0, FRAMES)):
        return "MP3", True
    if kind == "MP3" and pieces.peek(mp3.after_tag(pieces.peek, 0), 4) == b"fLaC":
        return "FLAC", True
    return kind, known


def decoder_of(pieces: Pieces, kind: str, name: str, warn: Warn) -> Decoder:
    """Open a recognised stream. Raises `UsageError` if it cannot be read."""

    def waiting() -> bool:
        return pieces.waiting

    plan = layout(pieces.peek)
    if plan is not None and plan.plain:
        samples = _samples(pieces, plan, name, warn)
        return Decoder(Stream(samples, plan.header(ENDLESS >> 2)), name, waiting=waiting)
    flac = unclaimed_flac(pieces.peek, mp3.after_tag(pieces.peek, 0)) if kind == "FLAC" else None
    if flac is not None:
        header, start, claimed = flac
        stream = Stream(pieces.after(start), header)
        return Decoder(stream, name, claimed=claimed, waiting=waiting)
    if kind == "MP3":
        return Decoder(Pump(mp3.frames(pieces.after(0))), name, waiting=waiting)
    if plan is None and pieces.ended:
        raise UsageError(
            f"{name!r} ends within its header: it began as {kind}, and no sound came",
            "whoever writes it may have failed: look at what it says",
        )
    raise unreadable(name, f"{kind} of this form is not read from a pipe", piped=True)


def _samples(pieces: Pieces, plan: Layout, name: str, warn: Warn) -> Iterator[bytes]:
    """Yield the samples and nothing behind them, unless it is sound that the header left out."""
    left = plan.claimed
    if left is None:
        yield from pieces.after(plan.start)
        return
    rest = pieces.after(plan.start)
    for piece in rest:
        if left < len(piece):
            yield from _behind(itertools.chain((piece[left:],), rest), piece[:left], name, warn)
            return
        left -= len(piece)
        yield piece
    if left:
        warn("short_file", f"{name!r} ended before its header says: used what came")


def _behind(rest: Iterator[bytes], last: bytes, name: str, warn: Warn) -> Iterator[bytes]:
    """Yield the last samples that the header claims, then what comes behind if it is sound."""
    yield last
    head = b""
    while len(head) < 9 and (piece := next(rest, None)) is not None:  # noqa: PLR2004  a pad byte, a name, a size
        head += piece
    tail = any(names_chunk(head[at : at + 8], ENDLESS, known=not last) for at in (0, 1))
    if not tail and last:  # a writer to a pipe that claims nothing is none that broke off
        warn("long_file", f"{name!r} goes on longer than its header says: used all that came")
    if not tail:
        yield head
    for piece in rest:
        if not tail:
            yield piece


def blocks_of(
    pieces: Pieces, kind: str, name: str, warn: Warn, known: Callable[[Decoder], None]
) -> Iterator[NDArray[np.float32]]:
    """Yield the float32 blocks of a recognised stream, of shape (n, channels).

    `known` takes the decoder before the first one. Raises `StorageError` where it is broken,
    `UsageError` if it cannot be read.
    """
    if kind == "Ogg":
        yield from _links(pieces, name, warn, known)
        return
    decoder = decoder_of(pieces, kind, name, warn)
    known(decoder)
    yield from _blocks(decoder, name)


def _links(
    pieces: Pieces, name: str, warn: Warn, known: Callable[[Decoder], None]
) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks of one Ogg stream after the other."""
    pages = ogg.Pages(pieces.after(0))
    form: tuple[int, int] | None = None
    while pages.more:
        decoder = Decoder(Pump(pages.link()), name, waiting=lambda: pieces.waiting)
        if form is None:
            known(decoder)
            form = decoder.rate, decoder.channels
        if (decoder.rate, decoder.channels) != form:
            decoder.close()
            warn("input_left", f"{name!r} goes on at {decoder.rate} Hz: the rest was left unread")
            return
        yield from _blocks(decoder, name)
    if not pages.whole:
        warn("short_file", f"{name!r} is not whole: used what came")


def _blocks(decoder: Decoder, name: str) -> Iterator[NDArray[np.float32]]:
    """Yield what a decoder reads, and close it."""
    size = max(1, round(decoder.rate * BLOCK))
    try:
        total = yield from read_on(decoder.read, size, decoder.rate, name)
        claimed = decoder.frames
        if decoder.format == "FLAC" and claimed is not None and total < claimed:
            raise StorageError(
                f"{name!r} breaks off after {total / decoder.rate:.1f} of "
                f"{claimed / decoder.rate:.1f} s"
            )
    finally:
        decoder.close()

"""The pages of an Ogg file: where one stream ends and the next begins. Pure. RFC 3533."""

from collections.abc import Iterator
from dataclasses import dataclass

from parakeet_coreml.audio.containers import Peek

_BEGINS, _ENDS = 2, 4
_HEAD = 27


@dataclass(frozen=True, slots=True)
class Link:
    """What is known of the stream that begins at some place of a file."""

    next: int | None
    """Where another one begins; None at the end of the file."""
    whole: bool
    """Whether its last page is there and says that it is the last."""


def link(peek: Peek, start: int) -> Link:
    """Walk the pages from `start` to the next stream, or to the end of the file."""
    at, begun, whole = start, False, False
    while True:
        head = peek(at, _HEAD + 255)
        if len(head) < _HEAD or head[:4] != b"OggS":
            return Link(None, whole and not head.strip(b"\0"))
        if head[5] & _BEGINS and begun:
            return Link(at, whole)
        begun = begun or not head[5] & _BEGINS
        whole = bool(head[5] & _ENDS)
        table = head[_HEAD : _HEAD + head[26]]
        at += _HEAD + head[26] + sum(table)
        if len(table) < head[26] or not peek(at - 1, 1):
            return Link(None, whole=False)


class Pages:
    """The pages of a pipe, stream by stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._kept = b""
        self.more = True
        """Whether another stream begins behind the one that was given last."""
        self.whole = False
        """Whether the last page was there and is marked as the last."""

    def link(self) -> Iterator[bytes]:
        """Yield the pages of one stream, and whatever follows that is none."""
        begun = False
        self.more = False
        while page := self._page():
            if page[:4] != b"OggS":
                yield page
                continue
            if page[5] & _BEGINS and begun:
                self._kept = page + self._kept
                self.more = True
                return
            begun = begun or not page[5] & _BEGINS
            self.whole = bool(page[5] & _ENDS) and len(page) == _length(page)
            yield page

    def _page(self) -> bytes:
        """Take a page, or what is there if no page begins; b"" at the end."""
        self._fill(_HEAD + 255)
        if self._kept[:4] == b"OggS" and len(self._kept) >= _HEAD:
            length = _length(self._kept)
            self._fill(length)
        else:
            length = len(self._kept)
        page, self._kept = self._kept[:length], self._kept[length:]
        return page

    def _fill(self, count: int) -> None:
        while len(self._kept) < count and (piece := next(self._pieces, None)) is not None:
            self._kept += piece


def _length(page: bytes) -> int:
    return _HEAD + page[26] + sum(page[_HEAD : _HEAD + page[26]])

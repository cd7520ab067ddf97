"""How long an MP3 says it is. Pure.

Only a Xing, Info or VBRI frame at the start gives the length; without one, libsndfile takes the
first frame's bitrate for that of all, and with one, it reads no further than that: not what was
joined on.

Sources: ISO/IEC 11172-3 2.4.1; the Xing header of the Xing Technology SDK; ID3v2.4 3.1.
"""

import struct
from collections.abc import Iterator

from parakeet_coreml.audio.containers import Peek

SEARCHED = 1 << 16
"""Bytes looked through for the first frame."""

SLACK = 1 << 13
"""Bytes behind the last frame that are tags or rubbish, not sound."""

TAG_HEAD = 10
"""Bytes of an ID3v2 header."""

_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_FEW_KILOBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = (44_100, 48_000, 32_000)


def frame_length(head: bytes) -> int:
    """Return the length in bytes of the frame (layer III) that begins here; 0 if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # noqa: PLR2004  sync, layer III
        return 0
    version, rate, speed = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or speed in {0, 15}:  # noqa: PLR2004  reserved
        return 0
    newest = version == 3  # noqa: PLR2004  MPEG-1
    hertz = _HERTZ[rate] // {3: 1, 2: 2, 0: 4}[version]
    kilobits = (_KILOBITS if newest else _FEW_KILOBITS)[speed - 1]
    return (144_000 if newest else 72_000) * kilobits // hertz + (head[2] >> 1 & 1)


def begins(head: bytes) -> bool:
    """Return whether these bytes begin with two MPEG frames: one could be chance."""
    length = frame_length(head)
    return bool(length) and bool(frame_length(head[length : length + 4]))


def after_tag(peek: Peek, at: int) -> int:
    """Return where an ID3v2 tag at `at` ends; `at` itself if there is none."""
    return at + _tag_length(peek(at, TAG_HEAD))


def _tag_length(head: bytes) -> int:
    """Return the length of the ID3v2 tag that begins here; 0 if none does."""
    if len(head) < TAG_HEAD or head[:3] != b"ID3" or max(head[6:10]) > 127:  # noqa: PLR2004  7 bits
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return TAG_HEAD + size


def _first_frame(peek: Peek, at: int) -> int | None:
    """Return where the first of two frames in a row begins, from `at` on and behind a tag."""
    at = after_tag(peek, at)
    head = peek(at, SEARCHED)
    place = head.find(b"\xff")
    while place >= 0:
        length = frame_length(head[place : place + 4])
        following = head[place + length : place + length + 4]
        if length and (frame_length(following) or not following):
            return at + place
        place = head.find(b"\xff", place + 1)
    return None


def _measure(frame: bytes) -> int | None:
    """Return the bytes of sound a first frame claims, itself included; None if it claims none."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 64)
        if at >= 0 and len(frame) >= at + 16:
            flags = struct.unpack(">I", frame[at + 4 : at + 8])[0]
            if flags & 3 == 3:  # noqa: PLR2004  frames and bytes are both there
                return int(struct.unpack(">I", frame[at + 12 : at + 16])[0])
            return None
    if frame[36:40] == b"VBRI" and len(frame) >= 50:  # noqa: PLR2004  up to its bytes
        return int(struct.unpack(">I", frame[46:50])[0])
    return None


def is_measured(peek: Peek, size: int) -> bool:
    """Return whether the start of an MP3 file of `size` bytes says truly how long all of it is."""
    first = _first_frame(peek, 0)
    if first is None:
        return True  # libsndfile may know better
    claimed = _measure(peek(first, 256))
    if claimed is None:
        return False
    end = first + claimed
    return size - end <= SLACK or _first_frame(peek, end) is None


def frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the whole frames of sound among these bytes, and nothing else, some at a time.

    Tags and rubbish between them would make mpg123 give up, and a measure would make it stop there.
    """
    kept, at, skip = b"", 0, 0
    for piece in pieces:
        kept, at = kept[at:] + piece, 0
        if skip >= len(kept):
            skip -= len(kept)
            kept = b""
            continue
        kept, skip = kept[skip:], 0
        sound: list[bytes] = []
        while at + TAG_HEAD <= len(kept):
            length = frame_length(kept[at : at + 4])
            if length and at + length > len(kept):
                break
            if length:
                if _measure(kept[at : at + min(length, 256)]) is None:
                    sound.append(kept[at : at + length])
                at += length
                continue
            tag = _tag_length(kept[at : at + TAG_HEAD])
            if tag > len(kept) - at:
                skip = tag - (len(kept) - at)
                at = len(kept)
            at += tag or _to_next(kept, at)
        at = min(at, len(kept))
        if sound:
            yield b"".join(sound)


def _to_next(data: bytes, at: int) -> int:
    """Return how far behind `at` two frames in a row begin, or how much can be passed over."""
    place = data.find(b"\xff", at + 1)
    while place >= 0:
        length = frame_length(data[place : place + 4])
        following = data[place + length : place + length + 4]
        if len(data) - place < 4 or (length and (len(following) < 4 or frame_length(following))):  # noqa: PLR2004  a frame's head
            return place - at
        place = data.find(b"\xff", place + 1)
    return len(data) - at

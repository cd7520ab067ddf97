"""What kind of sound begins with these bytes, and where in it the samples lie. Pure.

Headers of uncompressed sound are read here and written anew for libsndfile, because a header may
claim less than what follows it (a recorder that crashed, a size that wrapped at 4 GiB), more, or
nothing at all (a writer to a pipe), and because a broken one can keep libsndfile busy for ever.

Sources: Multimedia Programming Interface and Data Specifications 1.0 (RIFF); EBU Tech 3306 (RF64);
ITU-R BS.2088 (BW64); Sony Wave64; Audio Interchange File Format 1.3 and AIFF-C; Apple Core Audio
Format Specification 1.0; the header of Sun's /etc/magic for `.snd`.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Peek = Callable[[int, int], bytes]
"""Returns up to so many bytes (second) from a place (first); fewer only at the end."""

MOST_CHUNKS = 10_000
"""Chunks before the samples; a header with more leads nowhere."""

LARGEST = 1 << 60
"""A size in bytes that stands for "to the end"."""

RF64_MARK = 0xFFFF_FFFF
"""The size that says: see the chunk `ds64`."""

STREAMED = (
    range(0x7EFF_0000, 0x7F01_0000),
    range(0x7FFF_0000, 0x8001_0000),
    range(0xFFFF_0000, 0x1_0000_0000),
)
"""Sizes that writers put who cannot seek back: SoX in AIFF, SoX and espeak-ng in WAV, ffmpeg."""

KNOWN_TAILS = (
    b"LIST id3 ID3 bext iXML cue smpl inst PEAK fact JUNK junk PAD FLLR afsp DISP acid".split()
)
"""Chunks that writers put behind the samples."""

PADDING = 1 << 16
"""So many zeros behind the samples are padding."""

_W64 = {
    b"riff": bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    b"wave": bytes.fromhex("77617665f3acd3118cd100c04f8edb8a"),
    b"fmt ": bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a"),
    b"data": bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"),
}

_WIDE_TAGS = {1, 3, 6, 7, 0xFFFE}
"""WAVE formats that RF64 carries too: PCM, float, A-law, mu-law, extensible."""

_PLAIN_AIFC = {b"NONE", b"sowt", b"twos", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64"}
_PLAIN_AIFC |= {b"FL64", b"ulaw", b"ULAW", b"alaw", b"ALAW"}
_PLAIN_AU = {1, 2, 3, 4, 5, 6, 7, 27}
_PLAIN_CAF = {b"lpcm", b"ulaw", b"alaw"}


READ = {
    "WAV": ((0, b"RIFF"), (0, b"RIFX"), (0, b"RF64"), (0, b"BW64")),
    "Wave64": ((0, _W64[b"riff"][:12]),),
    "AIFF": ((0, b"FORM"),),
    "AU": ((0, b".snd"), (0, b"dns.")),
    "CAF": ((0, b"caff"),),
    "FLAC": ((0, b"fLaC"),),
    "Ogg": ((0, b"OggS"),),
    "MP3": ((0, b"ID3"),),
}
"""What libsndfile reads, and how it begins: place and bytes."""

UNREAD = {
    "MP4 (M4A)": ((4, b"ftyp"),),
    "WebM (Matroska)": ((0, b"\x1a\x45\xdf\xa3"),),
    "WMA (ASF)": ((0, bytes.fromhex("3026b2758e66cf11")),),
    "AAC": ((0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"ADIF")),
    "AMR": ((0, b"#!AMR"),),
    "Monkey's Audio": ((0, b"MAC "),),
    "WavPack": ((0, b"wvpk"),),
}
"""What others make and libsndfile does not read."""


def kind_of(head: bytes) -> tuple[str, bool]:
    """Return what begins with these bytes (12 or more) and whether it can be read; ("", False)."""
    if head[:4] == b"RIFF" and len(head) >= 12 and head[8:12] != b"WAVE":  # noqa: PLR2004  magic
        return "AVI" * (head[8:12] == b"AVI "), False
    for kinds, read in ((READ, True), (UNREAD, False)):
        for name, marks in kinds.items():
            if any(head[at : at + len(mark)] == mark for at, mark in marks):
                return name, read
    return "", False


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the samples of an uncompressed file lie."""

    header: Callable[[int], bytes]
    """Writes a header for so many bytes of samples."""
    start: int
    """Byte at which the samples begin."""
    claimed: int | None
    """Bytes of samples as the header says; None where it makes no claim."""
    plain: bool = True
    """Whether a sample is a number; of packed ones libsndfile makes silence for ever in a pipe."""

    def sound(self, peek: Peek, size: int) -> tuple[int, str]:
        """Return how many bytes of samples a file of `size` bytes has, and what is odd about it.

        That is "" if nothing is, "short" if it holds less than the header claims, "long" if more.
        """
        there = max(0, size - self.start)
        if self.claimed is None or self.claimed == there:
            return there, ""
        if self.claimed > there:
            return there, "short"
        if is_tail(peek, self.start + self.claimed, size, known=self.claimed == 0):
            return self.claimed, ""
        return there, "long"


def is_tail(peek: Peek, at: int, size: int, *, known: bool = False) -> bool:
    """Return whether chunks or padding fill a file from `at` to its end, not sound.

    With `known` only chunks will do that are known to lie there.
    """
    if size - at <= PADDING and not peek(at, size - at).strip(b"\0"):
        return True
    if peek(at, 3) == b"TAG" and size - at <= 128:  # noqa: PLR2004  an ID3v1 tag
        return True
    for place in (at + at % 2, at + 1 - at % 2):
        if names_chunk(peek(place, 8), size - place, known=known):
            return True
    return False


def names_chunk(head: bytes, left: int, *, known: bool) -> bool:
    """Return whether 8 bytes begin a chunk of which `left` bytes are there; RIFF's or AIFF's."""
    name = head[:4]
    if len(head) < 8:  # noqa: PLR2004  a name and a size
        return not head.strip(b"\0")
    little, big = struct.unpack("<I", head[4:])[0], struct.unpack(">I", head[4:])[0]
    fits = min(little, big) + 8 <= left + 1
    return fits and (name.strip() in KNOWN_TAILS or (_is_name(name) and not known))


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name) and name.strip() != b""  # noqa: PLR2004  printable


def layout(peek: Peek) -> Layout | None:
    """Return where the samples lie; None for what is not uncompressed sound as we know it."""
    head = peek(0, 16)
    name, form = head[:4], head[8:12]
    if name in {b"RIFF", b"RIFX", b"RF64", b"BW64"} and form == b"WAVE":
        return _wave(peek, ">" if name == b"RIFX" else "<")
    if head == _W64[b"riff"]:
        return _wave64(peek)
    if name == b"FORM" and form in {b"AIFF", b"AIFC"}:
        return _aiff(peek, form)
    if name in {b".snd", b"dns."}:
        return _au(peek, ">" if name == b".snd" else "<")
    if name == b"caff":
        return _caf(peek)
    return None


def unclaimed_flac(peek: Peek, at: int) -> tuple[bytes, int, int | None] | None:
    """Return a FLAC header that claims no length, where it ends, and the samples it had claimed.

    libsndfile reads no further than the header says, and a recorder that was killed wrote it early.
    None if no FLAC begins at `at`. RFC 9639, 8.2.
    """
    head = peek(at, 42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F:  # noqa: PLR2004  up to its digest
        return None
    claimed = int.from_bytes(head[21:26]) & 0xF_FFFF_FFFF
    return head[:21] + bytes((head[21] & 0xF0, 0, 0, 0, 0)) + head[26:], at + 42, claimed or None


def _chunks(peek: Peek, at: int, size: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place and size of each chunk from `at`; their order is the file's."""
    width = struct.calcsize(size)
    for _ in range(MOST_CHUNKS):
        head = peek(at, 4 + width)
        if len(head) < 4 + width or not _is_name(head[:4]):
            return
        length = struct.unpack(size, head[4:])[0]
        at += 4 + width
        yield head[:4], at, length
        if length < 0:
            return
        at += length
        # Chunks are padded to even sizes, but not by every writer.
        if length % 2 and width == 4 and not _is_name(peek(at, 4).lstrip(b" ")):  # noqa: PLR2004  bytes
            at += 1


def _claim(size: int) -> int | None:
    return None if any(size in streamed for streamed in STREAMED) else size


def _wave(peek: Peek, order: str) -> Layout | None:
    form = fact = b""
    wide: int | None = None
    marked = False
    for name, at, length in _chunks(peek, 12, order + "I"):
        if name == b"ds64":
            wide = struct.unpack("<Q", peek(at + 8, 8).ljust(8, b"\0"))[0]
            wide = wide if wide < LARGEST else None
            marked = True
        elif name == b"fmt ":
            form = peek(at, min(length, 1_024))
        elif name == b"fact":
            fact = peek(at, min(length, 64))
        elif name == b"data":
            if not form:
                return None
            claimed = wide if marked and length == RF64_MARK else _claim(length)
            return Layout(_wave_header(form, fact, order), at, claimed, _is_plain(form, order))
    return None


def _wave64(peek: Peek) -> Layout | None:
    at, form = 40, b""
    for _ in range(MOST_CHUNKS):
        head = peek(at, 24)
        if len(head) < 24:  # noqa: PLR2004  a GUID and a size
            return None
        length = struct.unpack("<Q", head[16:])[0]
        if head[:16] == _W64[b"fmt "]:
            form = peek(at + 24, min(max(0, length - 24), 1_024))
        elif head[:16] == _W64[b"data"]:
            claimed = length - 24 if 24 <= length < LARGEST else None  # noqa: PLR2004  its own head
            header = _wave_header(form, b"", "<")
            return Layout(header, at + 24, claimed, _is_plain(form, "<")) if form else None
        if not 24 <= length < LARGEST:  # noqa: PLR2004  its own head
            return None
        at += -(-length // 8) * 8
    return None


def _is_plain(form: bytes, order: str) -> bool:
    return struct.unpack(order + "H", form[:2].ljust(2, b"\0"))[0] in _WIDE_TAGS


def _wave_header(form: bytes, fact: bytes, order: str) -> Callable[[int], bytes]:
    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(order + "I", len(body)) + body + b"\0" * (len(body) % 2)

    def header(size: int) -> bytes:
        chunks = chunk(b"fmt ", form)
        if order == "<" and _is_plain(form, order):
            sizes = chunk(b"ds64", struct.pack("<QQQI", size + 4_096, size, 0, 0))
            return b"RF64\xff\xff\xff\xffWAVE" + sizes + chunks + b"data\xff\xff\xff\xff"
        chunks += chunk(b"fact", fact) if fact else b""
        some = struct.pack(order + "I", min(size, 0xFFFF_FFFF))
        name = b"RIFF" if order == "<" else b"RIFX"
        return name + b"\xff\xff\xff\xffWAVE" + chunks + b"data" + some

    return header


def _aiff(peek: Peek, form: bytes) -> Layout | None:
    common = b""
    for name, at, length in _chunks(peek, 12, ">I"):
        if name == b"COMM":
            common = peek(at, min(length, 1_024))
        elif name == b"SSND":
            plain = form == b"AIFF" or common[18:22] in _PLAIN_AIFC
            if len(common) < 18 or not plain:  # noqa: PLR2004  the fixed part of COMM
                return None
            offset = struct.unpack(">I", peek(at, 4).ljust(4, b"\0"))[0]
            claimed = _claim(length)
            start = at + 8 + (offset if offset < PADDING else 0)
            claimed = None if claimed is None else max(0, claimed - (start - at))
            return Layout(_aiff_header(form, common), start, claimed)
    return None


def _aiff_header(form: bytes, common: bytes) -> Callable[[int], bytes]:
    channels, _, bits = struct.unpack(">hIh", common[:8])
    frame = max(1, channels * -(-bits // 8))

    def header(size: int) -> bytes:
        frames = struct.pack(">I", min(size // frame, 0xFFFF_FFFF))
        body = common[:2] + frames + common[6:]
        body += b"\0" * (len(body) % 2)
        chunks = form + b"COMM" + struct.pack(">I", len(body)) + body
        if form == b"AIFC":
            chunks += b"FVER\0\0\0\x04\xa2\x80\x51\x40"
        some = struct.pack(">III", min(size + 8, 0xFFFF_FFFE), 0, 0)
        return b"FORM\x7f\xff\xff\xff" + chunks + b"SSND" + some

    return header


def _au(peek: Peek, order: str) -> Layout | None:
    head = peek(0, 24)
    if len(head) < 24:  # noqa: PLR2004  the whole header
        return None
    start, size = struct.unpack(order + "II", head[4:12])
    if not 24 <= start <= PADDING:  # noqa: PLR2004  the whole header
        return None
    fresh = head[:4] + struct.pack(order + "II", 24, 0xFFFF_FFFF) + head[12:]
    plain = struct.unpack(order + "I", head[12:16])[0] in _PLAIN_AU
    return Layout(lambda _: fresh, start, _claim(size), plain)


def _caf(peek: Peek) -> Layout | None:
    description = b""
    for name, at, length in _chunks(peek, 8, ">q"):
        if name == b"desc":
            description = peek(at, 32)
        elif name == b"data":
            if len(description) < 32 or description[8:12] not in _PLAIN_CAF:  # noqa: PLR2004  the whole chunk
                return None
            claimed = None if length < 0 else max(0, length - 4)
            return Layout(_caf_header(description), at + 4, claimed)
    return None


def _caf_header(description: bytes) -> Callable[[int], bytes]:
    def header(size: int) -> bytes:
        head = b"caff\0\x01\0\0desc" + struct.pack(">q", 32) + description
        return head + b"data" + struct.pack(">qI", size + 4, 0)

    return header

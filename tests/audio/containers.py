"""Sound files made by hand, with whatever lies in their headers."""

import io
import struct

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000

Sound = NDArray[np.float32]


def noise(seconds: float, seed: int = 0) -> Sound:
    """Return loud noise, of which every sample counts."""
    rng = np.random.default_rng(seed)
    return (rng.random(round(seconds * RATE), np.float32) - 0.5).round(3)


def encoded(sound: Sound, **options: object) -> bytes:
    """Return a sound file."""
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, **options)
    return file.getvalue()


def raw(sound: Sound, kind: str = "<i2") -> bytes:
    return (sound * 32_768).astype(kind).tobytes()


FORM = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


def chunk(name: bytes, body: bytes, *, size: int | None = None, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(body) if size is None else size) + body


def wave(data: bytes, size: int, *, before: bytes = b"", after: bytes = b"") -> bytes:
    chunks = chunk(b"fmt ", FORM) + before + chunk(b"data", data, size=size) + after
    return b"RIFF" + struct.pack("<I", (size + 36) % 2**32) + b"WAVE" + chunks


def rf64(data: bytes, size: int, *, name: bytes = b"RF64") -> bytes:
    sizes = chunk(b"ds64", struct.pack("<QQQI", size + 72, size, size // 2, 0))
    chunks = sizes + chunk(b"fmt ", FORM) + chunk(b"data", data, size=0xFFFF_FFFF)
    return name + b"\xff\xff\xff\xffWAVE" + chunks


def wave64(data: bytes, size: int) -> bytes:
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    form = b"fmt " + tail + struct.pack("<Q", 24 + 16) + FORM
    riff = bytes.fromhex("726966662e91cf11a5d628db04c10000") + struct.pack("<Q", 0)
    return riff + b"wave" + tail + form + b"data" + tail + struct.pack("<Q", size + 24) + data


def aiff(data: bytes, size: int) -> bytes:
    rate = struct.pack(">hQ", 16_383 + 13, RATE << 50)
    common = chunk(b"COMM", struct.pack(">hIh", 1, size // 2, 16) + rate, order=">")
    sound = chunk(b"SSND", bytes(8) + data, size=(size + 8) % 2**32, order=">")
    return b"FORM" + struct.pack(">I", (size + 46) % 2**32) + b"AIFF" + common + sound


def au(data: bytes, size: int) -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, size, 3, RATE, 1) + data


def caf(data: bytes, size: int) -> bytes:
    description = struct.pack(">d4sIIIII", RATE, b"lpcm", 0, 2, 1, 1, 16)
    head = b"caff\0\x01\0\0desc" + struct.pack(">q", len(description)) + description
    return head + b"data" + struct.pack(">qI", size + 4 if size >= 0 else size, 0) + data

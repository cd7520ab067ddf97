"""Sound files that come through a pipe."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from containers import (
    RATE,
    Sound,
    aiff,
    au,
    caf,
    chunk,
    encoded,
    noise,
    raw,
    rf64,
    wave,
    wave64,
)

from parakeet_coreml.audio.mp3 import frame_length
from parakeet_coreml.audio.pcm import PcmSource, PipeSource
from parakeet_coreml.errors import StorageError, UsageError

SOUND = noise(4)

LITTLE, BIG = raw(SOUND), raw(SOUND, ">i2")

FLAC = encoded(SOUND, format="FLAC")

MP3 = encoded(SOUND, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)

WHOLE = {
    "WAV": wave(LITTLE, len(LITTLE)),
    "WAV without a size": wave(LITTLE, 0xFFFF_FFFF),
    "WAV not finished": wave(LITTLE, 0),
    "WAV of SoX": wave(LITTLE, 0x7FFF_F000),
    "WAV with a tail": wave(LITTLE, len(LITTLE), after=chunk(b"LIST", b"INFOISFT\4\0\0\0Lavf")),
    "RF64": rf64(LITTLE, len(LITTLE)),
    "BW64": rf64(LITTLE, len(LITTLE), name=b"BW64"),
    "Wave64": wave64(LITTLE, len(LITTLE)),
    "AIFF": aiff(BIG, len(BIG)),
    "AIFF of SoX": aiff(BIG, 0x7F00_0000),
    "AU": au(BIG, 0xFFFF_FFFF),
    "CAF": caf(BIG, -1),
    "FLAC": FLAC,
}


def feeding(fd: int, data: bytes, write: int) -> threading.Thread:
    """Write to a pipe, close it, and care about nobody who listens."""

    def feed() -> None:
        try:
            for at in range(0, len(data), write):
                os.write(fd, data[at : at + write])
        except BrokenPipeError:
            pass
        os.close(fd)

    thread = threading.Thread(target=feed)
    thread.start()
    return thread


def heard(data: bytes, *, write: int = 1 << 16) -> tuple[Sound, int, list[str]]:
    """Send bytes through a pipe; return the sound, its rate and the codes of the warnings."""
    warnings: list[str] = []
    reading, writing = os.pipe()
    feeder = feeding(writing, data, write)
    source = PcmSource(
        reading, rate=RATE, encoding="s16le", warn=lambda code, _: warnings.append(code)
    )
    try:
        blocks = list(source.blocks())
    finally:
        os.close(reading)
        feeder.join()
    joined = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    return joined, source.rate, warnings


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("write", [1_000, 1 << 20])
def test_a_sound_file_is_heard_and_not_taken_for_raw_pcm(data: bytes, write: int) -> None:
    sound, rate, warnings = heard(data, write=write)
    assert (rate, warnings) == (RATE, [])
    assert sound.shape == (len(SOUND), 1)
    assert np.abs(sound[:, 0] - SOUND).max() < 1e-4


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS", "MP3"])
def test_compressed_sound_is_heard(kind: str) -> None:
    options = {"format": "MP3"} if kind == "MP3" else {"format": "OGG", "subtype": kind}
    sound, rate, warnings = heard(encoded(SOUND, **options))
    assert (rate, warnings) == (RATE, [])
    assert 0 <= len(sound) - len(SOUND) < 0.2 * RATE


def test_rate_and_channels_are_those_of_the_file() -> None:
    two = np.stack([SOUND, -SOUND], 1)
    data = bytearray(encoded(two, format="WAV", subtype="FLOAT"))
    data[24:28] = (48_000).to_bytes(4, "little")
    sound, rate, _ = heard(bytes(data))
    assert rate == 48_000
    assert np.array_equal(sound, two)


def test_what_a_header_leaves_out_of_a_pipe_is_heard_and_told() -> None:
    sound, _, warnings = heard(wave(LITTLE, 64_000))
    assert (len(sound), warnings) == (len(SOUND), ["long_file"])


def test_a_pipe_that_ends_before_its_header_says_is_told() -> None:
    sound, _, warnings = heard(wave(LITTLE, 2 * len(LITTLE)))
    assert (len(sound), warnings) == (len(SOUND), ["short_file"])


@pytest.mark.parametrize("most", [4, 12, 20, 43])
def test_a_pipe_that_ends_within_its_header_is_told_so(most: int) -> None:
    with pytest.raises(UsageError, match="ends within its header: it began as WAV"):
        heard(wave(LITTLE, len(LITTLE))[:most])


def test_a_flac_that_breaks_off_in_a_pipe_is_told() -> None:
    with pytest.raises(StorageError, match=r"(beyond|after) [12]\.\d"):
        heard(FLAC[: len(FLAC) // 2])


def test_joined_ogg_and_mp3_are_heard_whole_from_a_pipe() -> None:
    ogg = encoded(SOUND, format="OGG", subtype="VORBIS")
    sound, _, warnings = heard(ogg + ogg)
    assert (len(sound), warnings) == (2 * len(SOUND), [])
    sound, _, warnings = heard(MP3 + b"TAG" + bytes(125) + MP3[frame_length(MP3) :])
    assert 8 * RATE <= len(sound) < 8.4 * RATE
    assert warnings == []


def test_an_ogg_that_breaks_off_in_a_pipe_is_told() -> None:
    ogg = encoded(noise(20), format="OGG", subtype="VORBIS")
    assert heard(ogg[: len(ogg) // 2])[2] == ["short_file"]


def test_an_ogg_that_goes_on_at_another_rate_tells_that_it_is_left() -> None:
    one = encoded(SOUND, format="OGG", subtype="VORBIS")
    two = encoded(np.stack([SOUND, SOUND], 1), format="OGG", subtype="VORBIS")
    sound, _, warnings = heard(one + two)
    assert (len(sound), warnings) == (len(SOUND), ["input_left"])


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x20ftypM4A \0\0\0\0",
        b"\x1a\x45\xdf\xa3" + bytes(60),
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"RIFF\0\0\0\0AVI LIST",
    ],
)
def test_a_kind_that_is_not_read_names_the_command_that_converts_it(head: bytes) -> None:
    with pytest.raises(UsageError, match="is not a sound file") as caught:
        heard(head + bytes(100_000))
    assert "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - |" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("AU", "G721_32")]
)
def test_packed_samples_in_a_pipe_are_refused_and_no_endless_silence(
    kind: str, subtype: str
) -> None:
    with pytest.raises(UsageError, match="from a pipe") as caught:
        heard(encoded(SOUND, format=kind, subtype=subtype))
    assert "ffmpeg" in caught.value.hint


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\0\0",
        b"\xff\xfb",
        b"\xff\xfb\x90\xc4",
        b"\xff\xfb\x90\xc4" * 3_000,
        b"RIF",
        b"ID4\4",
        b"Ogg",
    ],
)
def test_raw_pcm_that_begins_oddly_stays_raw_pcm(start: bytes) -> None:
    data = start + LITTLE
    sound, _, _ = heard(data, write=7 if len(start) < 10 else 4_096)
    assert (
        sound.tobytes()
        == (np.frombuffer(data, "<i2", len(data) // 2) / np.float32(32_768)).tobytes()
    )


def test_twelve_bytes_are_enough_to_begin() -> None:
    reading, writing = os.pipe()
    source = PcmSource(reading, rate=RATE, encoding="s16le", warn=lambda *_: None)
    os.write(writing, b"\1\0" * 6)
    assert len(next(source.blocks())) == 6
    os.close(writing)
    os.close(reading)


@pytest.mark.parametrize("sent", [0, 3, 30, 20_000])
@pytest.mark.parametrize("data", [WHOLE["WAV"], FLAC, MP3])
def test_a_stop_ends_it_at_every_moment_without_a_fault(data: bytes, sent: int) -> None:
    reading, writing = os.pipe()
    os.write(writing, data[:sent])
    source = PcmSource(reading, rate=RATE, encoding="s16le", warn=lambda *_: None)
    timer = threading.Timer(0.1, source.stop)
    timer.start()
    try:
        total = sum(map(len, source.blocks()))
    except StorageError:
        assert data is FLAC
    else:
        assert total <= len(SOUND) + 0.2 * RATE
    timer.join()
    os.close(writing)
    os.close(reading)


def test_a_writer_that_fails_midway_is_told_without_a_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (WHOLE["WAV"], FLAC, MP3):
        reads = iter([data[:20_000]])

        def read(_fd: int, _count: int, reads: Iterator[bytes] = reads) -> bytes:
            for piece in reads:
                return piece
            raise OSError(5, "Input/output error")

        reading, writing = os.pipe()
        os.write(writing, b"x")
        with monkeypatch.context() as patch:
            patch.setattr(PcmSource, "_read", lambda self, read=read: read(0, 0))
            source = PcmSource(reading, rate=RATE, encoding="s16le", warn=lambda *_: None)
            with pytest.raises(StorageError, match="standard input"):
                list(source.blocks())
        os.close(writing)
        os.close(reading)
    assert capfd.readouterr().err == ""


# Named pipes


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


Named = Callable[[], PipeSource]


def test_a_named_pipe_is_read_as_it_comes(fifo: Path) -> None:
    source = PipeSource(str(fifo), warn=lambda *_: None)
    writer = threading.Thread(target=fifo.write_bytes, args=(WHOLE["WAV"],))
    writer.start()
    assert sum(map(len, source.blocks())) == len(SOUND)
    writer.join()


def test_raw_pcm_in_a_named_pipe_is_refused(fifo: Path) -> None:
    source = PipeSource(str(fifo), warn=lambda *_: None)
    writer = threading.Thread(target=fifo.write_bytes, args=(bytes(100),))
    writer.start()
    with pytest.raises(UsageError, match="begins like none"):
        list(source.blocks())
    writer.join()


def test_a_stop_ends_the_wait_for_a_writer(fifo: Path) -> None:
    source = PipeSource(str(fifo), warn=lambda *_: None)
    timer = threading.Timer(0.1, source.stop)
    timer.start()
    assert list(source.blocks()) == []
    timer.join()
    os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))  # lets the waiting thread go


def test_a_pipe_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    source = PipeSource(str(tmp_path / "gone"), warn=lambda *_: None)
    with pytest.raises(UsageError, match="cannot open"):
        list(source.blocks())

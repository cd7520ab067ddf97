"""Headers that claim what is not so: what is there is heard, and what was odd is told."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from containers import (
    FORM,
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

from parakeet_coreml.audio import containers, decoder
from parakeet_coreml.audio.file import GROWTHS, FileSource
from parakeet_coreml.audio.mp3 import frame_length
from parakeet_coreml.errors import StorageError, UsageError

SOUND = noise(4)

Make = Callable[[bytes, int], bytes]

MAKES: dict[str, tuple[Make, str]] = {
    "WAV": (wave, "<i2"),
    "RF64": (rf64, "<i2"),
    "BW64": (lambda data, size: rf64(data, size, name=b"BW64"), "<i2"),
    "Wave64": (wave64, "<i2"),
    "AIFF": (aiff, ">i2"),
    "AU": (au, ">i2"),
    "CAF": (caf, ">i2"),
}

made = pytest.mark.parametrize(("make", "kind"), MAKES.values(), ids=MAKES)


def heard(path: Path) -> tuple[Sound, list[str]]:
    """Return the sound of a mono file, and the codes of the warnings."""
    warnings: list[str] = []
    source = FileSource(path, realtime=False, warn=lambda code, _: warnings.append(code))
    try:
        blocks = list(source.blocks())
        assert source.seconds == sum(map(len, blocks)) / source.rate
    finally:
        source.close()
    return np.concatenate(blocks)[:, 0], warnings


def played(tmp_path: Path, data: bytes) -> tuple[Sound, list[str]]:
    path = tmp_path / "sound"
    path.write_bytes(data)
    return heard(path)


def whole(sound: Sound, truth: Sound = SOUND) -> bool:
    return len(sound) == len(truth) and bool(np.abs(sound - truth).max() < 1e-4)


@made
def test_a_true_header_raises_no_alarm(tmp_path: Path, make: Make, kind: str) -> None:
    data = raw(SOUND, kind)
    sound, warnings = played(tmp_path, make(data, len(data)))
    assert (whole(sound), warnings) == (True, [])


@made
@pytest.mark.parametrize("claimed", [0, 64_000])
def test_what_the_header_leaves_out_is_heard_and_told(
    tmp_path: Path, make: Make, kind: str, claimed: int
) -> None:
    sound, warnings = played(tmp_path, make(raw(SOUND, kind), claimed))
    assert (whole(sound), warnings) == (True, ["long_file"])


@made
def test_a_header_that_claims_more_than_there_is_is_told(
    tmp_path: Path, make: Make, kind: str
) -> None:
    data = raw(SOUND, kind)
    sound, warnings = played(tmp_path, make(data, 2 * len(data)))
    assert (whole(sound), warnings) == (True, ["short_file"])


@pytest.mark.parametrize(
    ("make", "claimed"),
    [
        (wave, 0x7FFF_F000),
        (wave, 0xFFFF_FFFF),
        (wave, 0x7FFF_FFDB),
        (aiff, 0x7F00_0000),
        (aiff, 0xFFFF_FFF0),
        (au, 0xFFFF_FFFF),
        (caf, -1),
        (rf64, 0xFFFF_FFFF_FFFF_FF00),
        (wave64, 0x7FFF_FFFF_FFFF_0000),
    ],
)
def test_a_size_that_a_writer_to_a_pipe_puts_raises_no_alarm(
    tmp_path: Path, make: Make, claimed: int
) -> None:
    data = raw(SOUND, "<i2" if make in {wave, rf64, wave64} else ">i2")
    sound, warnings = played(tmp_path, make(data, claimed))
    assert (whole(sound), warnings) == (True, [])


@pytest.mark.parametrize(
    "after",
    [
        chunk(b"LIST", b"INFOISFT\x06\0\0\0Lavf59"),
        chunk(b"id3 ", b"ID3" + bytes(61)),
        chunk(b"junk", b"odd") + b"\0" + chunk(b"odd!", b"four"),
        b"TAG" + b" " * 125,
        bytes(4_096),
        b"\0" + chunk(b"LIST", b"INFO"),
    ],
    ids=["LIST", "id3", "odd", "ID3v1", "padding", "pad byte"],
)
def test_what_lies_behind_the_samples_is_no_sound(tmp_path: Path, after: bytes) -> None:
    data = raw(SOUND)
    sound, warnings = played(tmp_path, wave(data, len(data), after=after))
    assert (whole(sound), warnings) == (True, [])


def test_the_header_of_a_recorder_that_crashed_is_read_to_the_end(tmp_path: Path) -> None:
    # As AVAudioFile begins a file: samples on a page of their own, sizes still zero.
    before = chunk(b"FLLR", bytes(4_036))
    sound, warnings = played(tmp_path, wave(raw(SOUND), 0, before=before))
    assert (whole(sound), warnings) == (True, ["long_file"])


def test_a_size_that_wrapped_at_4_gib_is_no_size(tmp_path: Path) -> None:
    sound, warnings = played(tmp_path, wave(raw(SOUND), (2**32 + 64_000) % 2**32))
    assert (whole(sound), warnings) == (True, ["long_file"])


def test_an_odd_chunk_without_its_pad_byte_is_passed(tmp_path: Path) -> None:
    data = raw(SOUND)
    for before in (chunk(b"LIST", b"INFOx"), chunk(b"LIST", b"INFOx") + b"\0"):
        sound, warnings = played(tmp_path, wave(data, len(data), before=before))
        assert (whole(sound), warnings) == (True, [])


def test_a_broken_list_of_names_keeps_nobody_busy(tmp_path: Path) -> None:
    # libsndfile 1.2.2 goes back 8 bytes for ever.
    names = b"INFOxxxx\xf8\xff\xff\xff" + b"abcdefghijklmnop" * 2
    data = raw(SOUND)
    sound, _ = played(tmp_path, wave(data, len(data), before=chunk(b"LIST", names)))
    assert whole(sound)


def test_big_endian_samples_are_big_endian(tmp_path: Path) -> None:
    form = FORM[0:2][::-1] + FORM[2:4][::-1] + FORM[4:8][::-1] + FORM[8:12][::-1]
    form += FORM[12:14][::-1] + FORM[14:16][::-1]
    data = raw(SOUND, ">i2")
    chunks = chunk(b"fmt ", form, order=">") + chunk(b"data", data, size=64_000, order=">")
    sound, warnings = played(tmp_path, b"RIFX\0\0\0\0WAVE" + chunks)
    assert (whole(sound), warnings) == (True, ["long_file"])


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"])
def test_compressed_wav_is_heard_as_before(tmp_path: Path, subtype: str) -> None:
    rate = 8_000 if subtype in {"GSM610", "G721_32"} else RATE
    data = encoded(SOUND[: 2 * rate], format="WAV", subtype=subtype)
    sound, warnings = played(tmp_path, data)
    assert abs(len(sound) - 2 * rate) < 2_100  # whole blocks
    assert warnings == []


# FLAC


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x08\0" + bytes(1_024)])
@pytest.mark.parametrize(
    ("claimed", "codes"), [(0, []), (64_000, []), (20_000, ["long_file"]), (4_096, ["long_file"])]
)
def test_a_flac_is_read_to_its_end_whatever_it_claims(
    tmp_path: Path, tag: bytes, claimed: int, codes: list[str]
) -> None:
    flac = bytearray(encoded(SOUND, format="FLAC"))
    flac[22:26] = claimed.to_bytes(4, "big")
    sound, warnings = played(tmp_path, tag + bytes(flac))
    assert (whole(sound), warnings) == (True, codes)


# MP3


def without_measure(mp3: bytes) -> bytes:
    """Return an MP3 as an encoder writes it to a pipe."""
    assert b"Xing" in mp3[:64] or b"Info" in mp3[:64]
    return mp3[frame_length(mp3) :]


def variable() -> bytes:
    """Return an MP3 that begins with silence: few bits, then many."""
    sound = np.concatenate((np.zeros(RATE, np.float32), SOUND))
    return encoded(sound, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2)


def test_an_mp3_that_names_no_length_is_heard_whole(tmp_path: Path) -> None:
    sound, warnings = played(tmp_path, without_measure(variable()))
    assert 5 <= len(sound) / RATE < 5.3
    assert warnings == []


@pytest.mark.parametrize("tags", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(3_000)])
def test_a_healthy_mp3_of_constant_bitrate_raises_no_alarm(tmp_path: Path, tags: bytes) -> None:
    mp3 = encoded(SOUND, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    id3 = b"ID3\x04\0\0\0\0\x20\0" + bytes(4_096)
    for data in (mp3 + tags, id3 + mp3 + tags, id3 + without_measure(mp3) + tags):
        sound, warnings = played(tmp_path, data)
        assert 4 <= len(sound) / RATE < 4.3
        assert warnings == []


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x08\0" + bytes(1_024)])
def test_joined_mp3_is_heard_whole(tmp_path: Path, tag: bytes) -> None:
    one = encoded(SOUND, format="MP3", bitrate_mode="CONSTANT")
    sound, warnings = played(tmp_path, one + tag + one)
    assert 8 <= len(sound) / RATE < 8.4
    assert warnings == []


# Ogg


OGGS = pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])


@OGGS
def test_joined_ogg_is_heard_whole(tmp_path: Path, subtype: str) -> None:
    one, two = (encoded(noise(s), format="OGG", subtype=subtype) for s in (4, 3))
    for data, seconds in ((one + two, 7), (one + one, 8), (one + two + one, 11)):
        sound, warnings = played(tmp_path, data)
        assert len(sound) == seconds * RATE
        assert warnings == []


def test_an_ogg_that_goes_on_at_another_rate_tells_what_is_left(tmp_path: Path) -> None:
    one = encoded(SOUND, format="OGG", subtype="VORBIS")
    two = encoded(np.stack([SOUND, SOUND], 1), format="OGG", subtype="VORBIS")
    sound, warnings = played(tmp_path, one + two)
    assert len(sound) == len(SOUND)
    assert warnings == ["input_left"]


@OGGS
@pytest.mark.parametrize("keep", [0.4, 0.7, 0.95])
def test_an_ogg_that_breaks_off_is_told(tmp_path: Path, subtype: str, keep: float) -> None:
    data = encoded(noise(20), format="OGG", subtype=subtype)
    sound, warnings = played(tmp_path, data[: round(len(data) * keep)])
    assert len(sound) > (keep - 0.3) * 20 * RATE
    assert warnings == ["short_file"]


# Files that grow


def growing(path: Path, data: bytes, steps: Iterator[int]) -> tuple[Sound, list[str]]:
    """Read a file to which the rest of `data` is written after each block but the first."""
    warnings: list[str] = []
    path.write_bytes(data[: next(steps)])
    source = FileSource(path, realtime=False, warn=lambda code, _: warnings.append(code))
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        path.write_bytes(data[: next(steps, len(data))])
    source.close()
    return np.concatenate(blocks)[:, 0], warnings


@made
def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, make: Make, kind: str
) -> None:
    data = make(raw(SOUND, kind), 0)
    sound, warnings = growing(tmp_path / "sound", data, iter((50_000, 90_000)))
    assert (whole(sound), warnings) == (True, ["long_file"])


def test_an_mp3_and_an_ogg_that_grow_are_read_to_their_end(tmp_path: Path) -> None:
    mp3 = without_measure(variable())
    sound, _ = growing(tmp_path / "a", mp3, iter((len(mp3) // 2,)))
    assert 5 <= len(sound) / RATE < 5.3
    ogg = encoded(noise(20), format="OGG", subtype="VORBIS")
    sound, warnings = growing(tmp_path / "b", ogg, iter((len(ogg) // 2,)))
    assert (len(sound), warnings) == (20 * RATE, [])


def test_a_file_that_never_stops_growing_is_left_and_told(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(wave(raw(noise(0.5)), 0))
    warnings: list[str] = []
    source = FileSource(path, realtime=False, warn=lambda code, _: warnings.append(code))
    total = 0
    for block in source.blocks():
        total += len(block)
        with path.open("ab") as file:
            file.write(raw(noise(0.1)))
    source.close()
    assert 0.5 * RATE + GROWTHS * 0.1 * RATE <= total < 3 * RATE
    assert warnings == ["long_file", "input_left"]


# What is not read


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "MP4"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "WebM"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "WMA"),
        (b"\xff\xf1\x50\x80" + bytes(60), "AAC"),
        (b"#!AMR\n" + bytes(60), "AMR"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"something else" * 9, ""),
    ],
)
def test_what_is_not_read_is_named_with_the_command_that_converts_it(
    tmp_path: Path, head: bytes, kind: str
) -> None:
    path = tmp_path / "it's mine.wav"
    path.write_bytes(head)
    with pytest.raises(UsageError, match="is not a sound file") as caught:
        FileSource(path, realtime=False, warn=lambda *_: None)
    assert kind in caught.value.message
    assert caught.value.hint == (
        """convert it: ffmpeg -i 'it'"'"'s mine.wav' -ac 1 -ar 16000 sound.wav"""
    )


def ogg_page(packet: bytes) -> bytes:
    """Return the first and only page of an Ogg file. RFC 3533, 6."""
    head = b"OggS\0\6" + bytes(8) + b"\1\0\0\0" + bytes(8)
    page = bytearray(head + bytes((1, len(packet))) + packet)
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C1_1DB7 * (register >> 31)) & 0xFFFF_FFFF
    page[22:26] = register.to_bytes(4, "little")
    return bytes(page)


def test_flac_in_ogg_that_breaks_off_names_the_command_that_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "sound.oga"
    flac = encoded(SOUND, format="FLAC")
    path.write_bytes(ogg_page(b"\x7fFLAC\1\0\0\1" + flac[:42]) + bytes(5_000))
    with pytest.raises(UsageError, match="is not a sound file") as caught:
        FileSource(path, realtime=False, warn=lambda *_: None)
    assert caught.value.hint.startswith("convert it: ffmpeg -i sound.oga ")


def test_a_midi_sample_dump_is_no_speech(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(encoded(SOUND[:2_000], format="SDS", subtype="PCM_16"))
    with pytest.raises(UsageError, match="MIDI"):
        FileSource(path, realtime=False, warn=lambda *_: None)


def test_a_header_that_leads_nowhere_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = threading.Event()
    path = tmp_path / "sound.flac"
    path.write_bytes(encoded(SOUND, format="FLAC"))
    monkeypatch.setattr(decoder, "OPEN_PATIENCE", 0.2)
    monkeypatch.setattr(soundfile, "SoundFile", lambda *_, **__: busy.wait(60))
    with pytest.raises(UsageError, match="leads nowhere") as caught:
        FileSource(path, realtime=False, warn=lambda *_: None)
    busy.set()
    assert caught.value.exit_code == 2


def test_a_disk_that_fails_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wave(raw(SOUND), 2 * len(SOUND)))
    source = FileSource(path, realtime=False, warn=lambda *_: None)
    read = os.pread

    def failing(fd: int, count: int, at: int) -> bytes:
        if at > 60_000:
            raise OSError(5, "Input/output error")
        return read(fd, count, at)

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        list(source.blocks())
    source.close()
    assert capfd.readouterr().err == ""


def test_chunks_without_end_are_given_up() -> None:
    endless = chunk(b"JUNK", b"") * 20_000
    data = b"RIFF\0\0\0\0WAVE" + endless
    assert containers.layout(lambda at, count: data[at : at + count]) is None

import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from parakeet_coreml.audio.file import FileSource
from parakeet_coreml.errors import StorageError, UsageError

RATE = 16_000

Sound = NDArray[np.float32]


def tone(seconds: float, channels: int = 1, rate: int = RATE) -> Sound:
    times = np.arange(round(seconds * rate)) / rate
    return np.stack([np.sin(times * 2e3 * (c + 1)) / 2 for c in range(channels)], 1, dtype="f4")


def heard(path: Path, *, realtime: bool = False) -> tuple[Sound, list[str]]:
    """Return all blocks joined, and the codes of the warnings."""
    warnings: list[str] = []
    source = FileSource(path, realtime=realtime, warn=lambda code, _: warnings.append(code))
    try:
        blocks = list(source.blocks())
    finally:
        source.close()
    joined = np.concatenate(blocks) if blocks else np.empty((0, source.channels), np.float32)
    return joined, warnings


def write(path: Path, sound: Sound, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, sound, rate, **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "FLOAT", 0.0),
        ("wav", "DOUBLE", 0.0),
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_U8", 1e-2),
        ("wav", "ULAW", 2e-2),
        ("flac", "PCM_16", 1e-4),
        ("aiff", "PCM_16", 1e-4),
        ("caf", "ALAC_16", 1e-4),
        ("w64", "PCM_16", 1e-4),
        ("ogg", "VORBIS", 0.1),
        ("mp3", "MPEG_LAYER_III", 0.1),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_was_written_is_heard(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float, channels: int
) -> None:
    sound = tone(1.3, channels)
    path = write(tmp_path / f"sound.{suffix}", sound, subtype=subtype)
    back, warnings = heard(path)
    assert back.dtype == np.float32
    assert back.shape == sound.shape
    assert np.abs(back - sound).max() <= tolerance
    assert warnings == []


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "wav"])
def test_real_time_plays_the_same_samples(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"sound.{suffix}", tone(0.5))
    assert np.allclose(heard(path, realtime=True)[0], heard(path)[0], atol=1e-6)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (11_025, 7), (384_000, 32)])
def test_rate_and_channels_are_told(tmp_path: Path, rate: int, channels: int) -> None:
    path = write(tmp_path / "sound.wav", tone(0.1, channels, rate), rate)
    source = FileSource(path, realtime=False, warn=lambda *_: None)
    assert (source.rate, source.channels) == (rate, channels)
    assert next(source.blocks()).shape[1] == channels
    source.close()


def test_values_that_are_no_numbers_are_passed_on(tmp_path: Path) -> None:
    sound = tone(0.1)
    sound[[5, 6, 7], 0] = [np.nan, np.inf, 1e38]
    back, _ = heard(write(tmp_path / "sound.wav", sound, subtype="FLOAT"))
    assert np.array_equal(back, sound, equal_nan=True)


def test_the_name_says_nothing_about_the_format(tmp_path: Path) -> None:
    for name in ("sound.raw", "sound", "-", "sou\nnd.txt", "sound.\udcff"):
        path = tmp_path / name
        path.write_bytes(write(tmp_path / "real.wav", tone(0.1)).read_bytes())
        assert len(heard(path)[0]) == RATE // 10


def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    source = FileSource(
        write(tmp_path / "sound.flac", tone(20)), realtime=False, warn=lambda *_: None
    )
    assert max(len(block) for block in source.blocks()) <= RATE
    source.close()


# Refusals


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        FileSource(path, realtime=False, warn=lambda *_: None)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_is_no_sound_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "image.wav").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    (tmp_path / "te\nxt.wav").write_text("hello " * 100)
    (tmp_path / "elf").write_bytes(Path(sys.executable).read_bytes()[:5_000])
    assert "there is no file" in refusal(tmp_path / "absent.wav")
    assert "is a folder" in refusal(tmp_path)
    assert "'empty.wav' is empty" in refusal(tmp_path / "empty.wav")
    assert "'image.wav' is not a sound file" in refusal(tmp_path / "image.wav")
    assert "is not a sound file" in refusal(tmp_path / "te\nxt.wav")
    assert "is not a sound file" in refusal(tmp_path / "elf")
    assert "not a regular file" in refusal(Path(os.devnull))
    assert "cannot open" in refusal(tmp_path / ("a" * 4_096))
    assert "cannot open" in refusal(Path("nul\0byte"))
    assert "is not a sound file" in refusal(Path(sys.executable))


def wav(
    *, rate: int = RATE, channels: int = 1, data: bytes = bytes(3_200), size: int = -1
) -> bytes:
    """A 16-bit WAV file as raw bytes, with whatever lies in its header."""
    align = channels * 2
    size = len(data) if size < 0 else size
    form = struct.pack(
        "<HHIIHH", 1, channels & 0xFFFF, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, 16
    )
    riff = min(size + 36, 0xFFFF_FFFF)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", size)
        + data
    )


@pytest.mark.parametrize("rate", [0, 7, 7_999, 384_001, 4_294_967_295])
def test_a_rate_out_of_range_is_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(rate=rate))
    refusal(path)


@pytest.mark.parametrize("channels", [0, 33, 1_000, 65_535])
def test_too_many_channels_or_none_are_refused(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(channels=channels, data=bytes(200_000)))
    refusal(path)


def test_a_header_that_says_there_is_no_sound_is_believed_aloud(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(size=0))
    assert "no sound" in refusal(path)


# How long they are


def test_the_length_is_the_headers_until_the_end_is_found(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(size=9_600))  # what is there is 0.1 s
    source = FileSource(path, realtime=False, warn=lambda *_: None)
    claimed = source.seconds
    list(source.blocks())
    source.close()
    assert claimed is not None
    assert claimed >= 0.1
    assert source.seconds == 0.1


def test_a_stop_leaves_the_length_as_it_was_claimed(tmp_path: Path) -> None:
    source = FileSource(
        write(tmp_path / "sound.wav", tone(2)), realtime=False, warn=lambda *_: None
    )
    blocks = source.blocks()
    next(blocks)
    source.stop()
    assert list(blocks) == []
    source.close()
    assert source.seconds == 2.0


def test_a_closed_file_is_not_found_to_be_short(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = write(tmp_path / "sound.wav", tone(2))
    source = FileSource(path, realtime=False, warn=lambda code, _: warnings.append(code))
    blocks = source._read(RATE)
    next(blocks)
    source.close()
    assert list(blocks) == []
    assert source.seconds == 2.0
    assert warnings == []


# Files that break off


@pytest.mark.parametrize("size", [3_202, 200_000, 0x7000_0000, 0xF000_0000])
def test_a_wav_that_claims_more_than_it_has_gives_what_it_has(tmp_path: Path, size: int) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(size=size))
    back, warnings = heard(path)
    assert len(back) == 1_600
    assert warnings == ["short_file"]


@pytest.mark.parametrize("size", [0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_a_wav_written_to_a_pipe_claims_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(size=size))
    back, warnings = heard(path)
    assert len(back) == 1_600
    assert warnings == []


@pytest.mark.parametrize(("suffix", "share"), [("wav", 0.49), ("aiff", 0.49), ("mp3", 0.3)])
def test_a_copy_that_broke_off_gives_what_it_has_and_tells(
    tmp_path: Path, suffix: str, share: float
) -> None:
    path = write(tmp_path / f"sound.{suffix}", tone(2))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    back, warnings = heard(path)
    assert len(back) > 2 * RATE * share
    assert warnings == ["short_file"]


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.9])
def test_a_flac_that_breaks_off_gives_every_sample_before_it(tmp_path: Path, keep: float) -> None:
    sound = tone(3) * np.random.default_rng(0).random((3 * RATE, 1), np.float32)
    path = write(tmp_path / "sound.flac", sound)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * keep)])
    source = FileSource(path, realtime=False, warn=lambda *_: None)
    blocks: list[Sound] = []
    with pytest.raises(StorageError, match=r"'sound.flac'.*[0-9.]+ s"):
        blocks.extend(source.blocks())
    source.close()
    back = np.concatenate(blocks)
    assert len(back) > (keep - 0.15) * len(sound)
    assert np.allclose(back, sound[: len(back)], atol=1e-4)


def test_a_flac_that_ends_between_two_of_its_frames_is_told_too(tmp_path: Path) -> None:
    path = write(tmp_path / "sound.flac", tone(1))
    whole = bytearray(path.read_bytes())
    whole[22:26] = struct.pack(">I", 3 * RATE)  # samples in all, the low 32 of 36 bits
    path.write_bytes(whole)
    with pytest.raises(StorageError, match=r"breaks off|cannot be read"):
        heard(path)


def test_a_garbled_flac_is_a_storage_error_or_plays(tmp_path: Path) -> None:
    whole = write(tmp_path / "sound.flac", tone(1)).read_bytes()
    random = np.random.default_rng(0)
    for at in random.integers(42, len(whole) - 16, 60):
        path = tmp_path / "garbled.flac"
        path.write_bytes(whole[:at] + random.bytes(16) + whole[at + 16 :])
        survives(path)


# Whatever the header says


def survives(path: Path) -> str:
    """Read a hostile file; success and our two errors are all that may happen."""
    try:
        back, _ = heard(path)
    except (UsageError, StorageError) as error:
        assert "\n" not in error.message  # noqa: PT017  either may come, or none
        return error.name
    assert len(back) <= 10 * path.stat().st_size
    return "heard"


def test_every_truncated_header_is_refused_or_heard(tmp_path: Path) -> None:
    whole = wav(data=bytes(64))
    path = tmp_path / "sound.wav"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        assert survives(path) == ("usage" if length < 46 else "heard"), length


@pytest.mark.parametrize("value", [0x00, 0x01, 0x7F, 0x80, 0xFF])
def test_no_byte_of_a_header_can_do_harm(tmp_path: Path, value: int) -> None:
    whole = bytearray(wav(data=bytes(640)))
    path = tmp_path / "sound.wav"
    results = set()
    for at in range(44):
        garbled = whole.copy()
        garbled[at] = value
        path.write_bytes(garbled)
        results.add(survives(path))
    assert results == {"usage", "heard"}


def test_no_garbled_header_can_do_harm(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    extensible = write(tmp_path / "multi.wav", tone(0.1, 6), subtype="PCM_24", format="WAVEX")
    aiff = write(tmp_path / "sound.aiff", tone(0.1))
    path = tmp_path / "sound.bin"
    for whole in (wav(), extensible.read_bytes(), aiff.read_bytes()):
        for _ in range(100):
            garbled = bytearray(whole)
            for at in random.integers(0, 64, 4):
                garbled[at] = random.integers(0, 256)
            path.write_bytes(garbled)
            survives(path)


# In real time


def test_in_real_time_a_block_comes_when_it_would_have_been_heard(tmp_path: Path) -> None:
    path = write(tmp_path / "sound.wav", tone(0.3), subtype="FLOAT")
    source = FileSource(path, realtime=True, warn=lambda *_: None)
    start, total = time.monotonic(), 0
    for block in source.blocks():
        total += len(block)
        assert len(block) <= RATE // 50
        assert time.monotonic() - start >= total / RATE - 0.001
    assert total == round(0.3 * RATE)
    source.close()


def test_stop_ends_real_time_after_what_was_heard(tmp_path: Path) -> None:
    path = write(tmp_path / "sound.wav", tone(60))
    source = FileSource(path, realtime=True, warn=lambda *_: None)
    start = time.monotonic()
    threading.Timer(0.1, source.stop).start()
    total = sum(len(block) for block in source.blocks())
    took = time.monotonic() - start
    assert 0.08 <= total / RATE <= took + 0.001
    assert total < 10 * RATE
    source.close()


def test_a_listener_who_fell_behind_gets_what_was_heard_before_the_stop(tmp_path: Path) -> None:
    path = write(tmp_path / "sound.wav", tone(60), subtype="FLOAT")
    source = FileSource(path, realtime=True, warn=lambda *_: None)
    blocks = source.blocks()
    start = time.monotonic()
    total = len(next(blocks))
    time.sleep(0.3)  # the listener's own slowness, not a wait for anything
    source.stop()
    stopped = time.monotonic()
    total += sum(len(block) for block in blocks)
    assert 0.29 <= total / RATE <= stopped - start + 0.001
    source.close()


# Ends


def test_stop_ends_a_file_between_two_blocks(tmp_path: Path) -> None:
    source = FileSource(
        write(tmp_path / "sound.wav", tone(5)), realtime=False, warn=lambda *_: None
    )
    blocks = source.blocks()
    next(blocks)
    source.stop()
    assert list(blocks) == []
    source.close()


def test_close_lets_the_file_go_and_may_come_twice(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    source = FileSource(
        write(tmp_path / "sound.wav", tone(1)), realtime=False, warn=lambda *_: None
    )
    next(source.blocks())
    source.close()
    source.close()
    for refused in (tmp_path, Path(__file__)):
        refusal(refused)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_file_closed_in_the_middle_just_ends(tmp_path: Path) -> None:
    source = FileSource(
        write(tmp_path / "sound.wav", tone(5)), realtime=False, warn=lambda *_: None
    )
    blocks = source.blocks()
    next(blocks)
    source.close()
    assert list(blocks) == []


def test_importing_the_module_does_not_load_soundfile() -> None:
    code = "import sys, parakeet_coreml.audio.file; sys.exit('soundfile' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

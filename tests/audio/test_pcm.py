import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parakeet_coreml.audio.pcm import PIPE_BYTES, READ_BYTES, PcmSource
from parakeet_coreml.errors import StorageError, UsageError

Warnings = list[tuple[str, str]]


class Pipe:
    """A pipe whose write end a thread feeds."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.warnings: Warnings = []

    def source(self, encoding: str = "s16le", rate: int = 16_000) -> PcmSource:
        return PcmSource(
            self.read_end, rate=rate, encoding=encoding, warn=lambda *w: self.warnings.append(w)
        )

    def heard(self, data: bytes, *, write: int, encoding: str = "s16le") -> NDArray[np.float32]:
        """Send `data` in writes of one size, close, and return all blocks joined."""

        def feed() -> None:
            for at in range(0, len(data), write):
                os.write(self.write_end, data[at : at + write])
            os.close(self.write_end)
            self.write_end = -1

        feeder = threading.Thread(target=feed)
        feeder.start()
        blocks = list(self.source(encoding).blocks())
        feeder.join()
        return np.concatenate(blocks) if blocks else np.empty(0, np.float32)

    def close(self) -> None:
        os.close(self.read_end)
        if self.write_end >= 0:
            os.close(self.write_end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    one.close()


@pytest.mark.parametrize("write", [1, 2, 3, 4_097, 1 << 20])
def test_the_size_of_writes_leaves_no_trace(pipe: Pipe, write: int) -> None:
    length = 3_000 if write < 4 else 600_000
    values = np.random.default_rng(0).integers(-32_768, 32_768, length, np.int16)
    heard = pipe.heard(values.tobytes(), write=write)
    assert np.array_equal(heard, values / np.float32(32_768))
    assert pipe.warnings == []


@given(values=st.lists(st.floats(width=32), max_size=300), write=st.integers(1, 9))
def test_floats_come_through_bit_for_bit(values: list[float], write: int) -> None:
    one = Pipe()
    data = np.array(values, np.float32).tobytes()
    assert one.heard(data, write=write, encoding="f32le").tobytes() == data
    one.close()


def test_full_scale_becomes_one(pipe: Pipe) -> None:
    data = np.array([-32_768, 0, 16_384], np.int16).tobytes()
    assert list(pipe.heard(data, write=6)) == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize(("encoding", "extra"), [("s16le", 1), ("f32le", 1), ("f32le", 3)])
def test_bytes_of_half_a_sample_at_the_end_are_left_out_and_told(
    pipe: Pipe, encoding: str, extra: int
) -> None:
    heard = pipe.heard(b"\0" * (8 + extra), write=5, encoding=encoding)
    assert len(heard) == (4 if encoding == "s16le" else 2)
    assert [code for code, _ in pipe.warnings] == ["partial_sample"]
    assert f"{extra} byte" in pipe.warnings[0][1]


def test_stop_ends_a_pipe_that_gives_nothing(pipe: Pipe) -> None:
    source = pipe.source()
    threading.Timer(0.05, source.stop).start()
    assert list(source.blocks()) == []


def test_nothing_wakes_it_while_no_data_comes(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    look = select.select

    def counted(*arguments: Any) -> Any:
        looks.append(arguments)
        return look(*arguments)

    monkeypatch.setattr(select, "select", counted)
    source = pipe.source()
    threading.Timer(0.3, source.stop).start()
    assert list(source.blocks()) == []
    assert len(looks) == 2  # before the stop and after it


def test_a_stop_after_the_end_does_nothing(pipe: Pipe) -> None:
    source = pipe.source()
    os.close(pipe.write_end)
    assert list(source.blocks()) == []
    pipe.write_end = os.open(os.devnull, os.O_WRONLY)
    source.stop()
    source.close()


def test_what_was_written_before_the_stop_is_heard(pipe: Pipe) -> None:
    source = pipe.source()
    os.write(pipe.write_end, b"\0\1" * 10_000)
    source.stop()
    assert sum(len(block) for block in source.blocks()) == 10_000
    assert pipe.warnings == []


def test_a_producer_that_never_ends_is_stopped_all_the_same(pipe: Pipe) -> None:
    source = pipe.source()

    def flood() -> None:
        try:
            while True:
                os.write(pipe.write_end, bytes(4_096))
        except BrokenPipeError:
            pass

    feeder = threading.Thread(target=flood)
    feeder.start()
    blocks = source.blocks()
    next(blocks)
    source.stop()
    # What is in the pipe still comes, but not for ever: two bytes a sample.
    assert sum(map(len, blocks)) <= (PIPE_BYTES + 2 * READ_BYTES) // 2
    os.close(pipe.read_end)
    feeder.join()
    pipe.read_end = os.open(os.devnull, os.O_RDONLY)


def test_a_descriptor_in_non_blocking_mode_is_read_too(pipe: Pipe) -> None:
    os.set_blocking(pipe.read_end, False)
    assert len(pipe.heard(bytes(2_000), write=500)) == 1_000


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "sound.pcm"
    path.write_bytes(bytes(200_000))
    fd = os.open(path, os.O_RDONLY)
    source = PcmSource(fd, rate=16_000, encoding="s16le", warn=lambda *_: None)
    assert sum(len(block) for block in source.blocks()) == 100_000
    os.close(fd)


@pytest.mark.parametrize("more", [0, 2])
def test_what_a_stop_leaves_of_a_file_is_told(tmp_path: Path, more: int) -> None:
    path = tmp_path / "sound.pcm"
    path.write_bytes(bytes(PIPE_BYTES + more))
    fd = os.open(path, os.O_RDONLY)
    warnings: list[str] = []
    source = PcmSource(
        fd, rate=16_000, encoding="s16le", warn=lambda code, _: warnings.append(code)
    )
    source.stop()
    assert sum(map(len, source.blocks())) == PIPE_BYTES // 2
    assert warnings == ["input_left"] * bool(more)
    os.close(fd)


def test_a_closed_descriptor_is_a_storage_error(pipe: Pipe) -> None:
    source = PcmSource(1 << 20, rate=16_000, encoding="s16le", warn=lambda *_: None)
    with pytest.raises(StorageError, match="standard input"):
        list(source.blocks())


def test_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    source = PcmSource(fd, rate=16_000, encoding="s16le", warn=lambda *_: None)
    with pytest.raises(StorageError):
        list(source.blocks())
    os.close(fd)


@pytest.mark.parametrize("rate", [0, -1, 7_999, 384_001])
def test_a_rate_out_of_range_is_refused(pipe: Pipe, rate: int) -> None:
    with pytest.raises(UsageError, match=str(rate)):
        pipe.source(rate=rate)


def test_an_unknown_encoding_is_refused(pipe: Pipe) -> None:
    with pytest.raises(UsageError, match="'u8'"):
        pipe.source(encoding="u8")


def test_close_ends_it_and_leaves_the_descriptor_alone(pipe: Pipe) -> None:
    source = pipe.source()
    source.close()
    source.close()
    assert list(source.blocks()) == []
    assert os.fstat(pipe.read_end)

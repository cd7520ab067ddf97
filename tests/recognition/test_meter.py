"""What is heard live, however the audio is cut into blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import dictation, noise, silence, spoken, tone
from strategies import cuts

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.meter import QUIETEST_DB, LevelMeter, decibels

SILENT_AFTER = 3 * SAMPLE_RATE


@dataclass
class Notes:
    """An ear and everything it told."""

    level: bool = True
    speech: bool = True
    told: list[dict[str, Any]] = field(default_factory=list)
    silent: int = 0
    muted: int = 0

    def __post_init__(self) -> None:
        self.ear = LevelMeter(
            silent=self._fall_silent,
            silent_after=SILENT_AFTER,
            level=self._note if self.level else None,
            speaking=self._note if self.speech else None,
        )

    def _note(self, event: str, **fields: object) -> None:
        self.told.append({"event": event, **fields})

    def _fall_silent(self, sounded: bool) -> None:
        self.muted += sounded
        self.silent += not sounded

    def hear(self, blocks: Sequence[Samples]) -> "Notes":
        at = 0
        for block in blocks:
            self.ear.heard(block, at)
            at += len(block)
        return self

    def of(self, event: str) -> list[dict[str, Any]]:
        return [note for note in self.told if note["event"] == event]


def spans(notes: Notes) -> list[tuple[str, int]]:
    return [(n["state"], n["t_ms"]) for n in notes.of("speech")]


# Levels


@pytest.mark.parametrize(
    ("level", "db"), [(1.0, 0.0), (0.1, -20.0), (0.5, -6.0), (1e-6, -120.0), (0.0, -120.0)]
)
def test_decibels_of_full_scale(level: float, db: float) -> None:
    assert decibels(level) == db


@given(st.floats(0, 4))
def test_decibels_are_never_infinite(level: float) -> None:
    assert math.isfinite(decibels(level))
    assert decibels(level) >= QUIETEST_DB


def test_there_are_ten_levels_a_second() -> None:
    levels = Notes().hear([noise(1.25)]).of("level")
    assert [note["t_ms"] for note in levels] == [100 * (i + 1) for i in range(12)]


def test_a_level_has_rms_peak_and_clipping() -> None:
    half = Notes(speech=False).hear([tone("alfa", 1600, 0.5 / math.sqrt(2))])
    assert half.told == [
        {
            "event": "level",
            "t_ms": 100,
            "rms_db": pytest.approx(-9.0, abs=0.1),
            "peak_db": pytest.approx(-6.0, abs=0.1),
            "clipping": False,
        }
    ]


@pytest.mark.parametrize(("peak", "clipping"), [(0.98, False), (0.99, True), (-1.0, True)])
def test_clipping_is_a_peak_of_either_sign(peak: float, clipping: bool) -> None:
    block = silence(0.1)
    block[7] = np.float32(peak)
    if peak == 0.99:
        block[7] = np.nextafter(np.float32(0.99), np.float32(1))
    (level,) = Notes(speech=False).hear([block]).told
    assert level["clipping"] is clipping


def test_silence_has_a_level() -> None:
    (level,) = Notes(speech=False).hear([silence(0.1)]).told
    assert (level["rms_db"], level["peak_db"]) == (-120.0, -120.0)


# Speech


def test_speech_starts_and_ends_where_it_does() -> None:
    audio = spoken([("alfa", 1.0, 1.5), ("bravo", 2.5, 3.1)], 5)
    assert spans(Notes(level=False).hear([audio])) == [
        ("start", 1000),
        ("end", 1500),
        ("start", 2500),
        ("end", 3100),
    ]


def test_a_short_pause_does_not_end_speech() -> None:
    audio = spoken([("alfa", 1.0, 1.5), ("bravo", 1.76, 2.1)], 4)
    assert spans(Notes(level=False).hear([audio])) == [("start", 1000), ("end", 2100)]


def test_a_click_is_no_speech() -> None:
    assert spans(Notes().hear([spoken([("alfa", 1.0, 1.04)], 3)])) == []


def test_start_and_end_take_turns() -> None:
    audio = spoken(dictation(30, pace=0.9, length=0.4), 30)
    states = [state for state, _ in spans(Notes().hear([audio]))]
    assert len(states) > 40
    assert states == ["start", "end"] * (len(states) // 2) + ["start"] * (len(states) % 2)


def test_a_louder_room_becomes_the_floor() -> None:
    room = noise(20, 0.005)
    notes = Notes(level=False).hear([room])
    assert all(t_ms < 1000 for _, t_ms in spans(notes))
    voice = np.concatenate((room, noise(1, 0.005) + tone("alfa", SAMPLE_RATE), noise(1, 0.005)))
    assert spans(Notes(level=False).hear([voice]))[-2:] == [("start", 20_000), ("end", 21_000)]


def test_the_floor_follows_the_last_30_s() -> None:
    audio = np.concatenate((noise(40, 0.02), noise(32), spoken([("alfa", 1, 2)], 3, level=0.01)))
    assert ("start", 73_000) in spans(Notes(level=False).hear([audio]))


RECORDING = spoken([*dictation(4), ("zulu", 5.0, 5.7)], 7)
WHOLE = Notes().hear([RECORDING])


@given(places=cuts(len(RECORDING)))
@settings(max_examples=40)
def test_how_the_stream_is_cut_leaves_no_trace(places: Sequence[int]) -> None:
    notes = Notes().hear(np.split(RECORDING, places))
    assert notes.told == WHOLE.told
    assert notes.silent == 0


# Digital silence


@pytest.mark.parametrize("block", [160, 4096, 47_999, 48_000, 100_000])
def test_three_seconds_of_zeros_are_told_once(block: int) -> None:
    notes = Notes(level=False, speech=False)
    notes.hear([silence(block / SAMPLE_RATE)] * (300_000 // block))
    assert notes.silent == 1
    assert not notes.ear.sounded


def test_less_than_three_seconds_of_zeros_are_not_told() -> None:
    assert Notes().hear([silence(2.9999)]).silent == 0
    assert Notes().hear([silence(3)]).silent == 1


@pytest.mark.parametrize("place", [0, 20_000, 47_999])
def test_one_sample_that_is_not_zero_is_sound(place: int) -> None:
    audio = silence(4)
    audio[place] = 1e-9
    notes = Notes().hear(np.split(audio, range(1000, len(audio), 1000)))
    assert notes.silent == 0
    assert notes.ear.sounded


@pytest.mark.parametrize("block", [160, 47_999, 400_000])
def test_a_microphone_muted_midway_is_told_once_for_each_time(block: int) -> None:
    one = np.concatenate((noise(1), silence(15)))
    audio = np.concatenate((one, noise(0.5), silence(8), one, noise(1)))
    notes = Notes(level=False, speech=False).hear(np.split(audio, range(block, len(audio), block)))
    assert (notes.muted, notes.silent) == (2, 0)


def test_pauses_of_a_noise_gate_are_no_mute() -> None:
    audio = np.concatenate([np.concatenate((noise(1), silence(12))) for _ in range(4)])
    assert Notes(level=False, speech=False).hear(np.split(audio, 50)).muted == 0


@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_sound_that_somebody_made_is_told_from_a_room(gain: float) -> None:
    speech = np.float32(gain) * spoken(dictation(20, pace=0.9, length=0.4), 20)
    faint = Notes(level=False, speech=False).hear(np.split(speech, 40)).ear.faint
    assert 5 < faint < 12


@pytest.mark.parametrize("level", [0.02, 1e-4, 1e-5])
def test_the_noise_of_a_room_is_nobody(level: float) -> None:
    rising = noise(20, level) * np.linspace(1, 3, 20 * SAMPLE_RATE, dtype=np.float32)
    assert Notes(level=False, speech=False).hear([rising]).ear.faint == 0
    assert Notes(level=False, speech=False).hear([silence(5)]).ear.faint == 0


def test_what_16_bits_round_to_is_nobody() -> None:
    audio = silence(10)
    audio[::300] = 1 / 32_768
    audio[: 8 * SAMPLE_RATE] = 0
    audio[8 * SAMPLE_RATE :] *= 0.3
    assert Notes(level=False, speech=False).hear([audio]).ear.faint == 0


def test_a_constant_offset_is_no_level() -> None:
    (level,) = Notes(speech=False).hear([noise(0.1, 3e-4) + np.float32(0.05)]).told
    assert level["rms_db"] == pytest.approx(-70.5, abs=1)


def test_nobody_is_told_what_nobody_asked_for() -> None:
    notes = Notes(level=False, speech=False).hear([RECORDING])
    assert notes.told == []
    assert Notes(level=True, speech=False).hear([RECORDING]).of("speech") == []
    assert Notes(level=False, speech=True).hear([RECORDING]).of("level") == []


def test_the_ear_keeps_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    floor_of = energy.floor_of

    def noted(levels: energy.Levels) -> float:
        sizes.append(len(levels))
        return floor_of(levels)

    monkeypatch.setattr(energy, "floor_of", noted)
    Notes().hear([noise(1)] * 45)
    assert max(sizes) == 30 * 50
    assert len(sizes) == 45 * 2

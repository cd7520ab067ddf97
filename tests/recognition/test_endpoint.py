"""Where speech ends, tick by tick: a pause freezes, and speech ends it."""

import numpy as np
import pytest
from sounds import cut_every, dictation, noise, silence, spoken, tone

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.recognition.endpoint import Endpoint, ending
from parakeet_coreml.recognition.energy import TICK
from parakeet_coreml.recognition.tape import Tape


def followed(audio: Samples, *, block: int = SAMPLE_RATE, begins: int = 0) -> Endpoint:
    tape = Tape(begins)
    endpoint = Endpoint(tape)
    for piece in cut_every(audio, block):
        tape.append(piece)
        while endpoint.step(begins):
            pass
    return endpoint


def word(pause: float, room: float = 1e-4) -> Samples:
    """Return a word from 1.0 to 1.5 s, then a pause."""
    return noise(1.5 + pause, room) + spoken([("golf", 1.0, 1.5)], 1.5 + pause)


def test_a_pause_is_one_when_it_is_300_ms_old() -> None:
    assert followed(word(0.28)).pause is None
    pause = followed(word(0.3)).pause
    assert pause is not None
    assert pause.spoken == to_samples(1.5)
    assert pause.end == to_samples(1.7)


@pytest.mark.parametrize("later", [0.3, 0.5, 1.0, 7.0, 29.0])
@pytest.mark.parametrize("room", [1e-4, 1e-3, 5e-3])
def test_a_frozen_pause_does_not_change_while_it_is_quiet(later: float, room: float) -> None:
    first = followed(word(0.3, room)).pause
    assert first is not None
    assert followed(word(later, room)).pause == first


def test_speech_ends_a_pause() -> None:
    audio = np.concatenate((word(1), tone("hotel", to_samples(0.06))))
    endpoint = followed(audio)
    assert endpoint.pause is None
    assert endpoint.onset == to_samples(2.5)
    assert endpoint.spoken == to_samples(2.56)


def test_a_click_does_not_end_a_pause() -> None:
    audio = np.concatenate((word(1), tone("hotel", to_samples(0.04)), noise(0.2)))
    assert followed(audio).pause is not None


@pytest.mark.parametrize("begun", [0.3, 0.5, 0.513, 1.0, 3.0])
def test_in_a_rest_no_40_ms_more_change_where_speech_ends(begun: float) -> None:
    endpoint = followed(word(begun))
    assert endpoint.rests
    after = followed(np.concatenate((word(begun), tone("hotel", to_samples(0.04)))))
    assert after.pause == endpoint.pause


def test_no_rest_is_in_speech_nor_where_something_has_begun() -> None:
    assert not followed(word(0)).rests
    assert not followed(word(0.28)).rests
    assert not followed(noise(2)).rests
    assert not followed(np.concatenate((word(1), tone("hotel", to_samples(0.02))))).rests


def test_a_soft_end_is_waited_for() -> None:
    hiss = noise(0.4, 4e-4)
    soft = np.concatenate((word(0.2), hiss, noise(1)))
    assert followed(soft[: to_samples(1.9)]).pause is None
    pause = followed(soft).pause
    assert pause is not None
    assert pause.end == to_samples(2.1)


def test_speech_that_windows_have_is_no_new_pause() -> None:
    audio = word(2)
    tape = Tape()
    endpoint = Endpoint(tape)
    for piece in cut_every(audio, SAMPLE_RATE):
        tape.append(piece)
    while endpoint.step(to_samples(1.6)):
        pass
    assert endpoint.pause is None
    assert endpoint.spoken >= to_samples(1.5)


@pytest.mark.parametrize("block", [1, 7, 320, 1000, 16_000])
def test_how_the_stream_is_cut_leaves_no_trace(block: int) -> None:
    audio = spoken(dictation(3), 3.4)[: to_samples(3.4)]
    expected, endpoint = followed(audio), followed(audio, block=block)
    assert endpoint.pause == expected.pause
    assert (endpoint.spoken, endpoint.onset, endpoint.at) == (
        expected.spoken,
        expected.onset,
        expected.at,
    )


def test_a_later_stretch_counts_from_its_own_start() -> None:
    begins = 12_345
    pause, moved = followed(word(1)).pause, followed(word(1), begins=begins).pause
    assert pause is not None
    assert moved is not None
    assert (moved.spoken, moved.end) == (pause.spoken + begins, pause.end + begins)


def test_silence_has_no_end_of_speech() -> None:
    tape = Tape()
    tape.append(silence(1))
    assert ending(tape, 0, SAMPLE_RATE) is None
    assert followed(silence(2)).spoken == 0


def test_ticks_are_followed_as_they_come_whole() -> None:
    tape = Tape()
    endpoint = Endpoint(tape)
    tape.append(silence(1)[: TICK - 1])
    assert not endpoint.step(0)
    tape.append(silence(1)[:1])
    assert endpoint.step(0)
    assert endpoint.at == TICK

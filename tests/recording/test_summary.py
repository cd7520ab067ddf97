"""What the lines say of time: every stage that was measured, and none that was not."""

from dataclasses import replace

import numpy as np
import pytest
from sounds import decode_with_fallback

from parakeet_coreml.audio.samples import SAMPLE_RATE
from parakeet_coreml.backends.base import BackendInfo, BackendSpec, Hypothesis, Token, Work
from parakeet_coreml.errors import BackendFailedError
from parakeet_coreml.recognition.fallback import Decoded
from parakeet_coreml.recognition.windows import Window
from parakeet_coreml.recording import summary
from parakeet_coreml.timing import Waterfall

HEARD = Hypothesis((Token(1, "▁a", 0, 1280, 0.9),), Work(0.001, 0.01, 0.004, 2, 30))
NOTHING = Hypothesis((), Work(0.002, 0.02, 0.001, 1, 20))
SPEC = BackendSpec("onnx", "tiny-en", "/x")
INFO = BackendInfo("onnx", "tiny-en", "cpu", "onnxruntime 1", 240_000, 200, None, "int8")


class Backend:
    """Gives what it is told, in turn."""

    max_samples = 15 * SAMPLE_RATE

    def __init__(self, *answers: Hypothesis | BackendFailedError) -> None:
        self.answers = list(answers)

    def transcribe(self, window: object, /) -> Hypothesis:
        answer = self.answers.pop(0)
        if isinstance(answer, BackendFailedError):
            raise answer
        return answer

    def close(self) -> None: ...


def window(*, silent: bool = False) -> Window:
    audio = np.full(2 * SAMPLE_RATE, 0.1, np.float32)
    speech = () if silent else ((0, SAMPLE_RATE),)
    return Window(0, len(audio), len(audio), audio, silent, speech, ready=5.0)


def decoded(*answers: Hypothesis | BackendFailedError, silent: bool = False) -> Decoded:
    (result,) = decode_with_fallback([window(silent=silent)], Backend(*answers))
    return result


def test_a_window_says_what_its_stages_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([5.0042, 5.0242])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    assert summary.window(decoded(HEARD)) == {
        "start_ms": 0,
        "end_ms": 2000,
        "audio_ms": 2000.0,
        "waiting_ms": 4.2,
        "elapsed_ms": 20.0,
        "features_ms": 1.0,
        "encoder_ms": 10.0,
        "search_ms": 4.0,
        "tokens": 1,
        "predictor_calls": 2,
        "joint_calls": 30,
        "retries": 0,
        "ahead": False,
    }


def test_further_attempts_are_retries_and_their_work_is_counted() -> None:
    figures = summary.window(decoded(NOTHING, HEARD))
    assert figures["retries"] == 1
    assert (figures["encoder_ms"], figures["joint_calls"]) == (30.0, 50)


def test_a_backend_that_measures_nothing_gives_no_stage() -> None:
    figures = summary.window(decoded(Hypothesis(HEARD.tokens)))
    unmeasured = {"features_ms", "encoder_ms", "search_ms", "predictor_calls", "joint_calls"}
    assert not unmeasured & set(figures)


@pytest.mark.parametrize("failed", [True, False])
def test_a_window_that_failed_or_was_silent_has_no_stage(failed: bool) -> None:
    result = decoded(BackendFailedError("x")) if failed else decoded(silent=True)
    figures = summary.window(result)
    assert figures["tokens"] == 0
    assert "encoder_ms" not in figures
    assert ("waiting_ms" in figures) == failed


def test_each_window_is_told_in_its_turn_and_counts() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    waterfall = Waterfall()
    measured = summary.measuring(waterfall, lambda kind, **fields: told.append((kind, fields)))
    measured(decoded(HEARD))
    measured(decoded(NOTHING, HEARD))
    assert [(kind, fields["index"]) for kind, fields in told] == [("window", 0), ("window", 1)]
    assert waterfall.sums()["joint_calls"] == 80
    assert "last_window_ms" in waterfall.stages()


def test_when_a_window_was_begun_is_told_unless_that_was_ahead_of_need() -> None:
    told: list[dict[str, object]] = []
    measured = summary.measuring(Waterfall(), lambda _kind, **fields: told.append(fields))
    measured(decoded(HEARD))
    measured(replace(decoded(HEARD), ahead=True))
    measured(decoded(silent=True))
    assert ["begun_ms" in fields for fields in told] == [True, False, False]
    assert [fields["ahead"] for fields in told] == [False, True, False]


def test_timing_names_the_backend_whatever_became_of_the_model() -> None:
    waterfall = Waterfall()
    loaded = summary.timing(INFO, SPEC, waterfall, None)
    assert (loaded["form"], loaded["warm"], loaded["restarts"]) == ("int8", True, 0)
    assert "windows" not in loaded
    failed = summary.timing(None, SPEC, waterfall, None)
    assert (failed["backend"], failed["model"]) == ("onnx", "tiny-en")
    assert "warm" not in failed

"""What a window took, as the backends count it, and how it crosses the process border."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import requires

import parakeet_coreml
from parakeet_coreml.backends.base import BackendSpec, Hypothesis, Token, Work
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.backends.worker.wire import (
    BrokenError,
    fields_of_tokens,
    fields_of_work,
    hypothesis_from,
)

PACKAGE = Path(parakeet_coreml.__file__).parent


@pytest.mark.parametrize("name", ["onnx", "coreml", "mlx"])
def test_every_stage_is_counted_and_each_window_anew(name: str) -> None:
    if name == "mlx":
        requires("mlx", present=find_spec("parakeet_mlx") is not None)
    manifest = json.loads((PACKAGE / "tiny_en" / "manifest.json").read_text())
    blank, durations = manifest["blank"], tuple(manifest["durations"])
    folder = str(PACKAGE / "tiny_en")
    spec = BackendSpec(name, "tiny-en", folder, blank=blank, durations=durations)
    backend, info = open_backend(spec)
    audio, _ = soundfile.read(PACKAGE / "samples" / "speech.wav", dtype="float32", frames=64_000)
    works = [backend.transcribe(audio) for _ in range(2)]
    quiet = backend.transcribe(np.zeros(8_000, np.float32)).work
    backend.close()
    first, second = (heard.work for heard in works)
    assert first is not None
    assert second is not None
    assert quiet is not None
    assert info.form
    assert (first.predictor, first.joint) == (second.predictor, second.joint)
    assert first.predictor == len(works[0].tokens) + 1  # the start, and one for each token
    assert (first.joint or 0) >= len(works[0].tokens)
    assert (quiet.joint or 0) < (first.joint or 0)
    assert None not in (first.features, first.encoder, first.search)
    assert min(first.features or 0, first.encoder or 0, first.search or 0) > 0


HEARD = Hypothesis((Token(3, "▁a", 0, 1280, 0.5),), Work(None, 0.25, 0.5, 2, 7))


def test_it_crosses_the_border_and_stays_with_words_that_move() -> None:
    answer = json.loads(json.dumps({"seq": 0, "tokens": fields_of_tokens(HEARD)}))
    answer |= json.loads(json.dumps(fields_of_work(HEARD)))
    arrived = hypothesis_from(answer, seq=0, samples=16_000)
    assert arrived == HEARD
    assert arrived.shifted(160).work == HEARD.work


def test_an_answer_without_it_is_one() -> None:
    bare = Hypothesis(HEARD.tokens)
    assert fields_of_work(bare) == {}
    assert hypothesis_from({"seq": 0, "tokens": []}, seq=0, samples=1).work is None


@pytest.mark.parametrize(
    "work",
    [
        *([], [1, 2, 3, 4], "abcde", [0, 0, 0, 0.5, 0], [-0.1, 0, 0, 0, 0]),
        *([None, "1", 0, 0, 0], [float("nan"), 0, 0, 0, 0], [0, float("inf"), 0, 0, 0]),
    ],
    ids=str,
)
def test_impossible_figures_break_the_worker(work: object) -> None:
    with pytest.raises(BrokenError, match="impossible figures"):
        hypothesis_from({"seq": 0, "tokens": [], "work": work}, seq=0, samples=1)


def test_works_add_up_and_what_only_one_has_counts() -> None:
    assert Work(1.0, None, 3.0, 4, None) + Work(0.5, 2.0, 0.5, 1, None) == Work(1.5, 2.0, 3.5, 5)

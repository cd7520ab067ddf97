"""Our search, text and features against onnx-asr, an independent implementation, on the same files.

Where the two part ways on purpose (a table of five implementations is behind `tdt`):

* onnx-asr takes the index of a duration for the duration. Parakeet's durations are 0, 1, 2, 3, 4,
  so it makes no difference here; `test_tdt.py` has other durations.
* It forces the search on when 10 tokens share a frame, and so do we.
* It prints `<unk>`; we leave it out. The predictor sees it in both.
* It keeps a mark that opens the window; we drop it, for its word lies in an earlier window.
* It takes the space away before any mark; we keep it where the model wrote one ("rock & roll").
"""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import specs
from support import requires
from tiny_onnx import PIECES, Recipe, write_pair

import parakeet_coreml
from parakeet_coreml.audio.samples import FRAME, MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Backend
from parakeet_coreml.backends.onnx import open_onnx
from parakeet_coreml.recognition.words import text_of, words_of

import onnx_asr  # isort: skip  after ours, which turns ONNX Runtime's telemetry off

PACKAGE = Path(parakeet_coreml.__file__).parent
MODEL = PACKAGE / "tiny_en"
SPEECH = PACKAGE / "samples" / "speech.wav"
MARKS = ".,"


@cache
def our_model(folder: Path) -> Backend:
    return open_onnx(specs.spec_of("onnx", "oracle", folder))[0]


@cache
def their_model(folder: Path) -> Any:
    return onnx_asr.load_model("nemo-conformer-tdt", folder).with_timestamps()


def babble(samples: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    swell = np.sin(np.arange(samples) / 2000)
    return (rng.normal(0, 0.1, samples) * swell).astype(np.float32)


def tight(text: str) -> str:
    """Return a text without double spaces and without spaces before marks."""
    return re.sub(rf" +([{MARKS}])", r"\1", " ".join(text.split()))


def compare(folder: Path, window: Samples) -> int:
    """Compare tokens, times, probabilities and text; return how many tokens there were."""
    hypothesis = our_model(folder).transcribe(window)
    oracle = their_model(folder).recognize(window)
    named = [
        (piece.replace(" ", "▁"), round(time * SAMPLE_RATE), np.exp(logprob))
        for piece, time, logprob in zip(
            oracle.tokens, oracle.timestamps, oracle.logprobs, strict=True
        )
        if piece != "<unk>"
    ]
    assert [token.piece for token in hypothesis.tokens] == [piece for piece, _, _ in named]
    assert [token.start for token in hypothesis.tokens] == [start for _, start, _ in named]
    np.testing.assert_allclose(
        [token.probability for token in hypothesis.tokens],
        [probability for _, _, probability in named],
        rtol=2e-3,  # both compute features in float32, in another order
    )
    text = oracle.text.replace("<unk>", "").lstrip(MARKS + " ")
    assert tight(text_of(words_of(hypothesis.tokens))) == tight(text)
    return len(named)


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_say_the_same_tokens_and_text(tmp_path: Path, seed: int) -> None:
    recipe = Recipe(seed=seed, layers=1 + seed % 2, blank_bias=seed % 4)
    folder = write_pair(tmp_path, recipe)
    heard = [compare(folder, babble(samples, seed)) for samples in (5_000, 77_777, MODEL_WINDOW)]
    assert heard[-1] > 10


def test_random_networks_reach_the_corners_of_the_search(tmp_path: Path) -> None:
    """The seeds above are worth something only if frames are shared, filled and jumped over."""
    shared = filled = jumped = False
    for seed in range(6):
        folder = write_pair(tmp_path / str(seed), Recipe(seed=seed, blank_bias=seed % 4))
        starts = [
            t.start // FRAME
            for t in our_model(folder).transcribe(babble(MODEL_WINDOW, seed)).tokens
        ]
        shared |= any(1 < starts.count(t) < 10 for t in starts)
        filled |= any(starts.count(t) == 10 for t in starts)
        jumped |= any(b - a == 4 for a, b in pairwise(starts))
    assert shared
    assert filled
    assert jumped
    assert "<unk>" in PIECES


def test_the_built_in_model_says_the_same_of_real_speech() -> None:
    requires("the built-in model", present=(MODEL / "encoder-model.onnx").is_file())
    audio, rate = soundfile.read(SPEECH, dtype="float32")
    assert rate == SAMPLE_RATE
    heard = 0
    for start in range(0, len(audio), MODEL_WINDOW):
        heard += compare(MODEL, audio[start : start + MODEL_WINDOW])
    assert heard

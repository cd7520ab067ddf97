"""What tiny-en is fed: nothing of the evaluation, and words for all that is heard."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support import requires

ROOT = Path(__file__).parents[2]
RATE = 16_000
WORD = RATE // 2
"""Samples of each word here; word k is a constant k + 1 thousandths."""


def recipe(name: str) -> Any:
    requires("SciPy", present=find_spec("scipy") is not None)
    import importlib  # noqa: PLC0415  see above

    return importlib.import_module(f"models.tiny_en.{name}")


def item(words: int) -> Any:
    levels = 1 + np.arange(words * WORD) // WORD
    text = " ".join(str(k) for k in range(words))
    starts = tuple(k * WORD for k in range(words))
    return recipe("mixture").Item(text, (levels * 32.768).astype(np.int16), "said", starts)


@given(st.integers(3, 9), st.integers(0, 10_000))
def test_a_cropped_utterance_holds_its_words_whole(words: int, seed: int) -> None:
    text, kept = recipe("mixture").cropped(np.random.default_rng(seed), item(words))
    said = [int(word) for word in text.split()]
    assert said == list(range(said[0], said[-1] + 1))
    heard = {k: int((np.round(kept * 1000) == k + 1).sum()) for k in range(words)}
    # The last one may lose up to 0.16 s, in which the next sets in.
    assert all(heard[k] == WORD for k in said[:-1])
    assert heard[said[-1]] >= WORD - 0.16 * RATE
    before, after = said[0] - 1, said[-1] + 1
    assert all(count == 0 for k, count in heard.items() if not before <= k < after)
    # Of a word that is not written, half and what a piece may be late by, at the very most.
    assert heard.get(before, 0) <= WORD / 2 + 0.08 * RATE


def test_what_was_not_aligned_is_not_cropped() -> None:
    mixture = recipe("mixture")
    whole = item(4)
    for starts in ((), whole.starts[:-1]):
        one = mixture.Item(whole.text, whole.pcm, "said", starts)
        for seed in range(20):
            text, kept = mixture.cropped(np.random.default_rng(seed), one)
            assert (text, len(kept)) == (whole.text, 4 * WORD)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Make a folder with a pack and one with recorded digits, two takes of each."""
    work, digits = tmp_path / "work", tmp_path / "digits"
    (work / "packs").mkdir(parents=True)
    digits.mkdir()
    one = item(4)
    one.pcm.tofile(work / "packs" / "n-one.pcm")
    entry = {"text": one.text, "start": 0, "length": len(one.pcm), "kind": "said"}
    (work / "packs" / "n-one.jsonl").write_text(json.dumps(entry) + "\n")
    rng = np.random.default_rng(0)
    for speaker in ("theo", "jackson", "nicolas", "yweweler"):
        for digit in range(10):
            for take in (4, 5):
                sound = rng.normal(0, 0.1, 4_000)
                soundfile.write(digits / f"{digit}_{speaker}_{take}.wav", sound, 8_000)
    return work, digits


def test_nothing_of_the_evaluation_is_drawn(folders: tuple[Path, Path]) -> None:
    mixture = recipe("mixture")
    schedules = sorted((ROOT / "models" / "tiny_en").glob("schedule*.json"))
    stages = [stage for path in schedules for stage in mixture.schedule(path)]
    assert len(stages) > 10
    assert all(mixture.HELD_SPEAKER not in stage.speakers for stage in stages)
    assert not any(name.startswith("e") for stage in stages for name in stage.packs)
    kept = mixture.real_digits(folders[1], mixture.trained)
    assert {len(takes) for digits in kept.values() for takes in digits.values()} == {1}


def test_a_batch_is_of_like_length_and_within_what_the_stage_allows(
    folders: tuple[Path, Path],
) -> None:
    mixture = recipe("mixture")
    stage = mixture.Stage(
        until=1, rate=0.0, wordless=0.3, joined=0.5, longest=4.0, seconds=20.0, strength=0.5
    )
    batches = mixture.Mixture(*folders, seed=0).batches(lambda: stage)
    texts: list[str] = []
    for _ in range(6):
        words, samples, lengths = next(batches)
        assert samples.shape == (len(words), lengths.max())
        assert lengths.min() >= 0.3 * RATE
        assert lengths.max() <= 4.0 * 1.2 * RATE
        assert samples.size <= 20 * RATE or len(words) == 1
        assert all(not row[size:].any() for row, size in zip(samples, lengths, strict=True))
        texts += words
    assert "" in texts
    assert any(texts)


def test_packs_that_come_later_are_taken_in(folders: tuple[Path, Path]) -> None:
    mixture = recipe("mixture")
    mixed = mixture.Mixture(*folders, seed=0)
    packs = folders[0] / "packs"
    (packs / "n-two.pcm").write_bytes((packs / "n-one.pcm").read_bytes())
    mixed.refresh()
    assert list(mixed.packs) == ["n-one"]  # its list comes last, and is what makes it finished
    (packs / "n-two.jsonl").write_text((packs / "n-one.jsonl").read_text())
    mixed.refresh()
    assert list(mixed.packs) == ["n-one", "n-two"]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_spoiled_speech_stays_a_sound(strength: float) -> None:
    augment = recipe("augment")
    clean = (0.3 * np.sin(np.arange(RATE) / 9)).astype(np.float32)
    for seed in range(20):
        spoiled = augment.augmented(np.random.default_rng(seed), clean, strength)
        assert spoiled.dtype == np.float32
        assert np.isfinite(spoiled).all()
        assert np.abs(spoiled).max() <= 1.0
        assert 0.79 * RATE <= len(spoiled) <= 1.26 * RATE
        wordless = augment.wordless(np.random.default_rng(seed), RATE)
        assert len(wordless) == RATE
        assert np.isfinite(wordless).all()
        assert np.abs(wordless).max() <= 1.0


def test_weak_labels_are_left_out_and_the_others_keep_their_places(
    folders: tuple[Path, Path],
) -> None:
    packs = folders[0] / "packs"
    line = json.loads((packs / "n-one.jsonl").read_text())
    lines = [line | {"text": text} for text in ("first", "second", "third")]
    (packs / "n-one.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (packs / "n-one.starts.json").write_text(json.dumps([[1], [2], [3]]))
    (packs / "n-one.weak.json").write_text("[1]")
    packed = recipe("mixture").packs
    kept = packed(folders[0])["n-one"]
    assert [(item.text, item.starts) for item in kept] == [("first", (1,)), ("third", (3,))]
    every = packed(folders[0], weak=True)["n-one"]
    assert [item.text for item in every] == ["first", "second", "third"]


def test_digits_of_the_crowd_have_a_pack_that_a_schedule_can_weigh() -> None:
    people = recipe("people")
    speakers = [f"sc_{k}" for k in range(200)]
    rows = {
        word: [
            {"path": f"{word}.opus", "set": "speech_commands", "speaker": who, "transcript": word}
            for who in speakers
        ]
        for word in ("seven", "stop")
    }

    packs = {word: {people.pack(row) for row in some} for word, some in rows.items()}

    assert packs["seven"] == {"p-speech_commands_digits", "v-speech_commands"}
    assert packs["stop"] == {"p-speech_commands", "v-speech_commands"}

"""Phonemes bent towards another first language: sounds change, words stay in their places."""
# ruff: noqa: RUF001  phonemes

from random import Random

from models.tiny_en import accent

SENTENCE = "ðə vˈɛɹi θˈɪn mˈæn wˌɛnt bˈæk hˈOm."


def test_many_speakers_say_it_in_many_ways() -> None:
    ways = {accent.bent(SENTENCE, Random(seed)) for seed in range(100)}
    assert len(ways) > 60


def test_a_speaker_is_the_same_twice() -> None:
    assert accent.bent(SENTENCE, Random(7)) == accent.bent(SENTENCE, Random(7))


def test_every_word_stays_and_so_does_the_mark_at_the_end() -> None:
    for seed in range(200):
        said = accent.bent(SENTENCE, Random(seed))
        words = said.split(" ")
        assert len(words) == len(SENTENCE.split(" "))
        assert all(any(sound.isalpha() for sound in word) for word in words)
        assert said.endswith(".")


def test_nothing_but_phonemes_of_the_alphabet_comes_in() -> None:
    known = {sound for sound, _ in accent.HABITS} | set(SENTENCE) | set("ə,")
    known |= {other for _, others in accent.HABITS for other in others}
    for seed in range(200):
        assert set(accent.bent(SENTENCE, Random(seed))) <= known


def test_th_becomes_s_or_d_now_and_then_and_never_in_all_mouths() -> None:
    firsts = [accent.bent(SENTENCE, Random(seed))[0] for seed in range(300)]
    assert {"ð", "d", "z", "l"} == set(firsts)
    assert firsts.count("ð") > 150


def test_an_end_is_left_out_or_opened() -> None:
    lasts = {accent.bent("bˈæk", Random(seed)).rstrip(",")[-1] for seed in range(300)}
    assert {"k", "ə"} < lasts
    assert lasts & {"æ", "ɛ", "ɑ"}


def test_some_halt_between_words_and_none_before_the_last_mark() -> None:
    ways = [accent.bent(SENTENCE, Random(seed)) for seed in range(200)]
    halting = [way for way in ways if "," in way]
    assert 30 < len(halting) < 150
    assert not any(way.endswith(",.") or ",," in way for way in ways)


def test_some_leave_out_weak_stress() -> None:
    kept = ["ˌ" in accent.bent(SENTENCE, Random(seed)) for seed in range(200)]
    assert 100 < sum(kept) < 180


def test_a_word_of_one_sound_is_not_left_out() -> None:
    assert all(accent.bent("t", Random(seed))[:1].isalpha() for seed in range(200))

"""Terms and scripts that lead the search, told by a scripted joint."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import FRAME
from parakeet_coreml.backends.base import BackendSpec, Term, Token
from parakeet_coreml.backends.languages import SCRIPTS, main_script
from parakeet_coreml.backends.transducer.bias import BUDGET, CAP, START
from parakeet_coreml.backends.transducer.script import Lock
from parakeet_coreml.backends.transducer.steering import Aliases, Preferences
from parakeet_coreml.backends.transducer.tdt import Candidates, Decision, Frames, greedy
from parakeet_coreml.errors import BackendFailedError

PIECES = ("▁cube", "▁kube", "r", "netes", "▁is", "s", "▁", "k", "u", "be", "▁Да", ".", "▁net", "▁k")
BLANK = len(PIECES)
ID = {piece: token for token, piece in enumerate((*PIECES, "blank"))}
FAR = -20.0


def spec(*terms: Term, **how: object) -> BackendSpec:
    return BackendSpec("onnx", "toy", "", terms=terms, **how)  # type: ignore[arg-type]


def preferences(*terms: Term, **how: object) -> Preferences:
    return Preferences.of(spec(*terms, **how), PIECES.__getitem__, BLANK, tells=True)


@dataclass
class Scripted:
    """A joint that says `rows[t]` at frame t, whatever was written, then blank; durations are 1."""

    rows: Sequence[Mapping[str, float]]
    top: int | None = None
    """Give so many candidates instead of the whole row."""
    blank: int = BLANK
    durations: tuple[int, ...] = (0, 1)
    steps: list[int] = field(default_factory=list)

    def encode(self, window: NDArray[np.float32], /) -> Frames:
        raise NotImplementedError

    def predict(self, token: int, previous: tuple[int, ...] | None, /) -> tuple[int, ...]:
        return (*(previous or ()), token)

    def joint(self, ahead: Frames, prediction: tuple[int, ...], /) -> Decision:
        t = int(ahead[0, 0])
        self.steps.append(t)
        logits = np.full(BLANK + 1, FAR, np.float32)
        logits[BLANK] = FAR + 1
        for piece, logit in self.rows[t].items():
            logits[ID[piece]] = logit
        token = int(logits.argmax())
        candidates = Candidates(logits)
        if self.top is not None:
            ids = np.argsort(-logits)[: self.top].astype(np.int32)
            candidates = Candidates(logits[ids], ids)
        return Decision(token, 0.5, 1, candidates)


def heard(
    rows: Sequence[Mapping[str, float]], prefer: Preferences, top: int | None = None
) -> list[str]:
    frames = np.arange(len(rows), dtype=np.float32).reshape(-1, 1)
    networks = Scripted(rows, top)
    emissions = greedy(networks, frames, prefer.for_window())
    assert len(networks.steps) <= len(rows) * 3
    return [PIECES[e.token] for e in emissions]


KUBERNETES = Term("kubernetes", place="line 1")
SAID = (
    {"▁cube": 3.0, "▁kube": 1.0},
    {"r": 3.0},
    {"blank": 3.0},
    {"▁net": 2.0, "netes": 1.0},
    {"▁is": 3.0},
)


@pytest.mark.parametrize("top", [None, 4])
def test_a_term_is_written_where_the_model_is_in_doubt(top: int | None) -> None:
    assert heard(SAID, preferences(), top) == ["▁cube", "r", "▁net", "▁is"]
    assert heard(SAID, preferences(KUBERNETES), top) == ["▁kube", "r", "netes", "▁is"]


def test_any_pieces_spell_it() -> None:
    rows = ({"▁k": 3.0}, {"u": 3.0}, {"be": 3.0}, {"s": 3.0, "r": 1.0}, {"netes": 3.0})
    assert heard(rows, preferences(KUBERNETES)) == ["▁k", "u", "be", "r", "netes"]


def test_what_comes_to_nothing_is_taken_back() -> None:
    rows = (*SAID[:3], {"▁is": 9.0, "netes": 1.0}, {"▁is": 3.0})
    assert heard(rows, preferences(KUBERNETES)) == heard(rows, preferences())


def test_what_has_begun_when_the_window_ends_is_taken_back() -> None:
    assert heard(SAID[:2], preferences(KUBERNETES)) == ["▁cube", "r"]
    assert heard(SAID[:4], preferences(KUBERNETES)) == ["▁kube", "r", "netes"]


def test_where_nothing_resembles_a_term_no_network_is_asked_again() -> None:
    rows = ({"▁is": 3.0, "▁kube": 2.9}, {"s": 3.0, "r": 2.9}, {"▁": 3.0, "netes": 2.9})
    frames = np.arange(len(rows), dtype=np.float32).reshape(-1, 1)
    networks = Scripted(rows)
    greedy(networks, frames, preferences(KUBERNETES).for_window())
    assert networks.steps == [0, 1, 2]


def test_of_two_terms_the_likelier_spelling_is_tried_first() -> None:
    terms = Term("kubernetes"), Term("kubenetes")
    short = ({"▁cube": 3.0, "▁kube": 1.0}, {"netes": 3.0, "r": 2.9}, {"netes": 3.0})
    long = (short[0], {"r": 3.0, "netes": 2.9}, {"netes": 3.0})
    assert heard(short[:2], preferences(*terms)) == ["▁kube", "netes"]
    assert heard(long, preferences(*terms)) == ["▁kube", "r", "netes"]


def test_a_term_that_is_written_is_left() -> None:
    rows = ({"▁kube": 3.0, "▁cube": 2.9}, {"s": 3.0, "r": 2.9}, {"▁is": 3.0})
    assert heard(rows, preferences(Term("kubes"), Term("cubes"))) == ["▁kube", "s", "▁is"]


def test_silence_ends_what_has_begun() -> None:
    rows = (*SAID[:2], *[{"blank": 9.0}] * 40, {"netes": 9.0})
    assert heard(rows, preferences(KUBERNETES)) == ["▁cube", "r", "netes"]


def test_a_longer_word_is_not_the_term() -> None:
    rows = (*SAID[:4], {"s": 3.0}, {"▁is": 3.0})
    assert heard(rows, preferences(KUBERNETES)) == heard(rows, preferences())


def test_a_mark_ends_a_term() -> None:
    rows = (*SAID[:4], {".": 3.0})
    assert heard(rows, preferences(KUBERNETES)) == ["▁kube", "r", "netes", "."]


def test_blank_is_overtaken_only_inside_a_match() -> None:
    cubers = Term("kubers")
    blank = {"blank": 3.0, "▁kube": 2.0, "s": 2.0}
    rows = (blank, {"▁kube": 3.0}, {"r": 3.0}, blank, {"▁is": 3.0})
    assert heard(rows, preferences()) == ["▁kube", "r", "▁is"]
    assert heard(rows, preferences(cubers)) == ["▁kube", "r", "s", "▁is"]


def test_a_match_opens_at_the_start_of_a_word_only() -> None:
    rows = ({"▁is": 3.0}, {"s": 3.0, "k": 2.9}, {"u": 3.0}, {"be": 3.0}, {"r": 3.0}, {"netes": 3.0})
    assert heard(rows, preferences(KUBERNETES)) == ["▁is", "s", "u", "be", "r", "netes"]


def test_the_boost_is_capped_and_weighted() -> None:
    def gap(size: float) -> tuple[dict[str, float], ...]:
        return ({"▁cube": 3.0, "▁kube": 3.0 - size}, {"r": 3.0}, {"netes": 3.0})

    def moved(size: float, *, weight: float = 1.0, boost: float = 1.0) -> bool:
        term = Term("kubernetes", weight=weight)
        return heard(gap(size), preferences(term, boost=boost))[0] == "▁kube"

    assert moved(START - 0.1)
    assert not moved(START + 0.1)
    assert moved(START + 0.1, boost=2)
    assert moved(START + 0.1, weight=2)
    assert not moved(START - 0.1, weight=0.5)
    assert not moved(CAP + 0.1, weight=9, boost=4)
    assert not moved(0.1, boost=0)


def test_a_term_costs_no_more_than_its_budget() -> None:
    dear = BUDGET / 2 + 0.5
    rows = ({"▁cube": 3.0, "▁kube": 3 - dear}, {"s": 3.0, "r": 3 - dear}, {"netes": 3.0})
    assert heard(rows, preferences(KUBERNETES)) == ["▁cube", "s", "netes"]


def test_its_probability_is_the_models_own() -> None:
    frames = np.arange(5, dtype=np.float32).reshape(-1, 1)
    for top in (None, 4):
        steered = greedy(Scripted(SAID, top), frames, preferences(KUBERNETES).for_window())
        expected = np.exp(1) / (np.exp(1) + np.exp(3)) if top is None else 0.5 * np.exp(-2)
        assert steered[0].probability == pytest.approx(expected, rel=1e-3)


rows_of = st.lists(
    st.dictionaries(
        st.sampled_from((*PIECES, "blank")), st.floats(-5, 5, width=32), min_size=1, max_size=6
    ),
    max_size=25,
)


@given(rows=rows_of)
def test_a_list_that_nobody_says_changes_nothing(rows: list[dict[str, float]]) -> None:
    absent = Term("kubernetessis")  # it can be spelled, but no frame is left for its last piece
    frames = np.arange(len(rows), dtype=np.float32).reshape(-1, 1)
    plain = greedy(Scripted(rows), frames)
    steered = greedy(Scripted(rows), frames, preferences(absent).for_window())
    text = "".join(PIECES[e.token] for e in steered)
    assert steered == plain or "▁kubernetessis" in text


@given(rows=rows_of)
def test_a_steered_search_stays_in_order_and_inside(rows: list[dict[str, float]]) -> None:
    frames = np.arange(len(rows), dtype=np.float32).reshape(-1, 1)
    emissions = greedy(Scripted(rows), frames, preferences(KUBERNETES, Term("net is")).for_window())
    at = [e.frame for e in emissions]
    assert at == sorted(at)
    assert all(0 <= t < len(rows) for t in at)


def test_candidates_that_are_none_are_a_failed_window() -> None:
    steer = preferences(KUBERNETES).for_window()
    assert steer is not None
    for ids, logits in (
        ([BLANK + 1], [1.0]),
        ([-1], [1.0]),
        ([0], [np.nan]),
        ([0, 1], [1.0]),
        ([], []),
    ):
        candidates = Candidates(np.array(logits, np.float32), np.array(ids, np.int32))
        with pytest.raises(BackendFailedError):
            steer.chosen(Decision(0, 0.5, 0, candidates))


# Which terms a model can spell


def test_terms_that_cannot_be_preferred_are_named_with_their_lines() -> None:
    strange, short = Term("Zürich", place="line 2"), Term("k8", place="line 3")
    prefer = preferences(KUBERNETES, strange, short)
    ((code, message),) = prefer.notes
    assert code == "vocabulary"
    assert "'Zürich' (line 2)" in message
    assert "'k8' (line 3)" in message
    assert "kubernetes" not in message


def test_of_many_that_cannot_be_some_are_named_and_the_rest_is_counted() -> None:
    ((_, message),) = preferences(*(Term(f"zzz{i}", place="line 9") for i in range(100))).notes
    assert "and 92 more" in message


def test_a_term_in_capitals_is_written_so_where_the_model_has_small_letters_alone() -> None:
    prefer = preferences(Term("KUBErnetes"))
    tokens = tokens_of(["▁kube", "r", "netes", "."])
    assert [t.piece for t in prefer.written(tokens)] == ["▁KUBErnetes", "."]


def test_a_model_that_tells_its_choice_alone_says_so() -> None:
    prefer = Preferences.of(spec(KUBERNETES), PIECES.__getitem__, BLANK, tells=False)
    assert prefer.for_window() is None
    assert [code for code, _ in prefer.notes] == ["vocabulary"]
    assert "onnx" in prefer.notes[0][1]


def test_nothing_asked_for_steers_nothing() -> None:
    prefer = preferences()
    assert (prefer.for_window(), prefer.aliases, prefer.notes) == (None, None, ())


# Written otherwise


def tokens_of(pieces: Iterable[str]) -> list[Token]:
    return [Token(i, piece, i * FRAME, FRAME, 0.5) for i, piece in enumerate(pieces)]


def written(term: Term, *pieces: str) -> list[str]:
    aliases = Aliases.of([term])
    assert aliases is not None
    return [token.piece for token in aliases.written(tokens_of(pieces))]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["▁cube", "▁net", "s"], ["▁Kubernetes"]),
        (["▁Cube", "▁", "net", "s", "."], ["▁Kubernetes", "."]),
        (["▁is", "▁cube", "net", "s", "▁is"], ["▁is", "▁Kubernetes", "▁is"]),
        (["▁cube", "▁net", "s", "is"], ["▁cube", "▁net", "s", "is"]),
        (["▁ice", "cube", "▁net", "s"], ["▁ice", "cube", "▁net", "s"]),
        (["▁cube", "▁net"], ["▁cube", "▁net"]),
        ([], []),
    ],
)
def test_an_alias_is_replaced_as_whole_words(pieces: list[str], expected: list[str]) -> None:
    assert written(Term("Kubernetes", "cube nets"), *pieces) == expected


def test_a_term_with_a_space_in_it_is_joined_and_one_in_other_case_stays() -> None:
    term = Term("facebook", "facebook")
    assert written(term, "▁face", "▁book") == ["▁facebook"]
    assert written(term, "▁Face", "book") == ["▁Face", "book"]
    assert written(term, "▁face", "▁books") == ["▁face", "▁books"]


def test_the_words_of_an_alias_share_its_time() -> None:
    aliases = Aliases.of([Term("Ana María López", "anna")])
    assert aliases is not None
    tokens = [Token(3, "▁an", 1000, 0, 0.4), Token(4, "na", 3000, 1280, 0.8)]
    new = aliases.written(tokens)
    assert [t.piece for t in new] == ["▁Ana", "▁María", "▁López"]
    assert new[0].start == 1000
    assert new[-1].start + new[-1].duration == 4280
    assert all(a.start + a.duration == b.start for a, b in pairwise(new))
    assert [t.probability for t in new] == pytest.approx([0.6] * 3)


# Scripts


@pytest.mark.parametrize("top", [None, 4])
def test_the_likeliest_of_the_script_is_written(top: int | None) -> None:
    rows = ({"▁Да": 3.0, "▁is": 2.0, "blank": 2.5}, {".": 3.0})
    assert heard(rows, preferences(language="pl"), top) == ["▁is", "."]
    assert heard(rows, preferences(language="uk"), top) == ["▁Да", "."]
    assert heard(rows, preferences(language="el"), top)[1:] == ["."]


def test_without_a_candidate_of_the_script_it_is_left() -> None:
    ids = np.array([ID["▁Да"], BLANK], np.int32)
    lock = Lock("LATIN", dict(enumerate(PIECES)), BLANK)
    assert lock.allowed(ID["▁Да"], Candidates(np.array([3, 2], np.float32), ids)) == ID["▁Да"]
    assert all(lock.passes(ID[piece]) for piece in ("▁", ".", "▁is", "blank"))


def test_blank_stays_blank() -> None:
    assert heard(({"blank": 3.0, "▁is": 2.9},), preferences(language="pl")) == []


def test_a_lock_with_nothing_to_lock_says_so() -> None:
    pieces = ("▁is", "s", ".")
    prefer = Preferences.of(spec(language="pl"), pieces.__getitem__, 3, tells=True)
    assert prefer.for_window() is None
    assert [code for code, _ in prefer.notes] == ["language"]


def test_there_are_25_languages_in_three_scripts() -> None:
    assert len(SCRIPTS) == 25
    assert set(SCRIPTS.values()) == {"LATIN", "CYRILLIC", "GREEK"}
    assert main_script(["Да, so", "Привет"]) == "CYRILLIC"
    assert main_script(["Ωμέγα"]) == "GREEK"
    assert main_script(["12", "…"]) == ""

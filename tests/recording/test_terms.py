"""Lists of terms, as users write them and as they happen to be."""

import random
from pathlib import Path

import pytest

from parakeet_coreml.backends.base import BackendSpec, Term
from parakeet_coreml.errors import UsageError
from parakeet_coreml.recording.options import Options
from parakeet_coreml.recording.terms import MAX_TERMS, terms_of

LIST = """# what we sell

Kubernetes
Lech Wałęsa\t1.5
kubectl = cube control
  spaced   out\t 2
C#
"""

TERMS = (
    Term("Kubernetes", place="line 3"),
    Term("Lech Wałęsa", weight=1.5, place="line 4"),
    Term("kubectl", "cube control", place="line 5"),
    Term("spaced out", weight=2.0, place="line 6"),
    Term("C#", place="line 7"),
)

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def listed(folder: Path, data: bytes | str) -> tuple[Term, ...]:
    path = folder / "terms.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return terms_of(str(path), ())


@pytest.mark.parametrize(
    "text", [LIST, LIST.replace("\n", "\r\n"), LIST.replace("\n", "\r"), LIST.rstrip()]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_is_read_whatever_its_line_ends(tmp_path: Path, text: str, mark: str) -> None:
    assert listed(tmp_path, mark + text) == TERMS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("term".encode("utf-16"), "UTF-16"),
        (PNG, "line 1 is not UTF-8"),
        (b"good\nZ\xfcrich\n", "line 2 is not UTF-8"),
        (b"term\n" * 250_000, "64 KiB"),
        (b"good\n" + b"x" * 10_000, "line 2 has a term of 10000 characters"),
        (b"good\nbell\x07\n", "line 2 holds a control character"),
        (b"\x00" * 100, "control character"),
        ("good\nturn \u202e around\n".encode(), "line 2 holds a control character"),
        (b"term\theavy\n", "the weight 'heavy'"),
        (b"term\t\n", "the weight ''"),
        (b"term\tnan\n", "the weight 'nan'"),
        (b"term\t-1\n", "the weight '-1'"),
        (b"term\t1e9\n", "the weight '1e9'"),
        (b" = as it sounds\n", "line 1 names no term"),
        (b"\t2\n", "line 1 names no term"),
        (b"\n".join(b"term%d" % i for i in range(MAX_TERMS + 1)), "501 terms are too many"),
        ("\n".join("я" * 90 + str(i) for i in range(300)).encode(), "too long altogether"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        listed(tmp_path, data)
    assert words in refused.value.message
    assert refused.value.message.isprintable()


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "is a directory"), (tmp_path / "none", "no such file")):
        with pytest.raises(UsageError, match=reason) as refused:
            terms_of(str(path), ())
        assert str(path) in refused.value.message


@pytest.mark.parametrize("data", ["", "\n\n", "# nothing yet\n", "\ufeff"])
def test_an_empty_list_is_said_and_prefers_nothing(
    tmp_path: Path, data: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert listed(tmp_path, data) == ()
    assert "names no term" in capfd.readouterr().err


def test_any_bytes_are_a_list_or_refused(tmp_path: Path) -> None:
    rng = random.Random(3)
    refused = 0
    for number in range(300):
        path = tmp_path / str(number)
        path.write_bytes(bytes(rng.choices(b"ab \t\n\r#=1.\xc3\xa9\xff\x00", k=rng.randrange(12))))
        try:
            terms = terms_of(str(path), ())
        except UsageError:
            refused += 1
        else:
            assert all(term.text.strip() == term.text and term.text for term in terms)
    assert 0 < refused < 300


def test_phrases_join_the_list_and_the_greatest_weight_counts(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text("one two\t0.5\n", encoding="utf-8")
    assert terms_of(str(path), ("one two", "three", "three\t3")) == (
        Term("one two", place="--phrase"),
        Term("three", weight=3.0, place="--phrase"),
    )
    with pytest.raises(UsageError, match="empty"):
        terms_of(None, ("  ",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(boost=-1), "--boost"),
        (Options(boost=float("nan")), "--boost"),
        (Options(boost=9), "--boost"),
        (Options(language="xx"), "'xx'"),
        (Options(language="Latin"), "'Latin'"),
    ],
)
def test_what_cannot_be_is_refused(options: Options, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options.geometry()


def test_what_is_preferred_reaches_the_worker_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(LIST, encoding="utf-8")
    options = Options(model="tiny-en", backend="onnx", vocabulary=str(path), boost=2, language="pl")
    spec = options.selection.spec()
    assert (spec.terms, spec.boost, spec.language) == (TERMS, 2, "pl")
    assert BackendSpec.from_json(spec.to_json()) == spec
    plain = spec._replace(terms=(), boost=1.0, language="")
    assert plain == Options(model="tiny-en", backend="onnx").selection.spec()

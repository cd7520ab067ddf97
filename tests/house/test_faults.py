"""The page of faults: every test that it names is there, and every row says how it ends."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "FAULTS.md"

NO_TEST = "no test"

ID = re.compile(r"(reports |mac )?[A-HP]\d+")

CODES = {"0", "1", "2", "10", "11", "12", "13", "130", "143"} | {
    *("20", "21", "22", "23", "24", "30", "31", "40")
}

NONE = "-"
"""In place of an exit code: no process ends of it, and the row says what happens instead."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fault as the page has it."""

    name: str
    fault: str
    happens: str
    codes: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def rows() -> tuple[Row, ...]:
    found = []
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| ") or line.startswith("| id |"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 5, line
        name, fault, happens, codes, tests = cells
        if tests != NO_TEST:
            assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", tests), line
        named = tuple(re.findall(r"`([^`]+)`", tests))
        found.append(Row(name, fault, happens, tuple(codes.split(", ")), named))
    return tuple(found)


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_row_has_an_id_of_its_own() -> None:
    names = [row.name for row in rows()]
    assert [name for name in names if not ID.fullmatch(name)] == []
    assert len(names) == len(set(names))


def test_every_test_that_is_named_is_there() -> None:
    named = {test for row in rows() for test in row.tests}
    assert named
    for test in sorted(named):
        path, _, function = test.partition("::")
        assert function.startswith("test_"), test
        assert (TESTS / path).is_file(), test
        assert function in functions(TESTS / path), test


def test_every_row_says_how_it_ends() -> None:
    for row in rows():
        assert row.fault, row
        assert len(row.happens) > 3, row
        assert row.codes == (NONE,) or set(row.codes) <= CODES, row


def test_what_no_test_holds_is_only_expected_or_has_a_reason() -> None:
    without = [row for row in rows() if not row.tests]
    marks = ("expected: ", "not mended", "decided: ", "needs a Mac: ", "by hand: ")
    assert [row for row in without if not row.happens.startswith(marks)] == []


@pytest.mark.parametrize("what", ["faults", "with a test", "without"])
def test_the_counts_that_the_page_states_are_true(what: str) -> None:
    stated = re.search(r"(\d+) faults: (\d+) with a test, (\d+) without", PAGE.read_text())
    assert stated, "the page states its counts"
    tested = sum(bool(row.tests) for row in rows())
    real = {"faults": len(rows()), "with a test": tested, "without": len(rows()) - tested}
    assert dict(zip(real, map(int, stated.groups()), strict=True))[what] == real[what]

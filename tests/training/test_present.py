"""Scripts that are given a path of nothing say so in a line."""

import argparse
import sys
from pathlib import Path

import pytest

from models.present import present
from models.tiny_en import measure


def test_what_is_there_is_taken(tmp_path: Path) -> None:
    assert present(str(tmp_path)) == tmp_path


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(argparse.ArgumentTypeError, match=str(missing)):
        present(str(missing))


@pytest.mark.parametrize("name", ["", "nothing"])
def test_measuring_without_recordings_is_one_line(
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / name
    monkeypatch.setattr(sys, "argv", ["measure", str(folder)])
    with pytest.raises(SystemExit) as ended:
        measure.main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert str(folder if name else folder / "manifest.tsv") in last

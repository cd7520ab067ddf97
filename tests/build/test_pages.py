"""The man page and the completions say what the commands are, no more and no less."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pulse import PulseServer
from support import requires

from parakeet_coreml import __version__
from parakeet_coreml.cli.main import main as program

SCRIPT = Path(__file__).parent.parent.parent / "build" / "commands.py"


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefix")
    subprocess.run([sys.executable, SCRIPT, folder], check=True, stdout=subprocess.DEVNULL)
    return folder / "share"


@pytest.fixture(scope="module")
def page(share: Path) -> str:
    return (share / "man" / "man1" / "parakeet-coreml.1").read_text()


def commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            settings = command.context_settings
            yield from commands(click.Context(command, info_name=name, parent=context, **settings))


ALL = list(commands(click.Context(program, info_name="parakeet-coreml")))


def test_the_man_page_has_one_section_for_each_command_and_no_other(page: str) -> None:
    sections = re.findall(r'^\.SH "(.*)"$', page, re.MULTILINE)
    names = [context.command_path.removeprefix("parakeet-coreml ").upper() for context in ALL[1:]]
    assert sections == names


def test_the_man_page_has_every_option_of_every_command_with_its_help(page: str) -> None:
    plain = page.replace("\\-", "-").replace("\\e", "\\")
    for context in ALL[1:]:
        name = context.command_path.removeprefix("parakeet-coreml ").upper()
        section = plain.split(f'.SH "{name}"\n')[1].split("\n.SH ")[0]
        for parameter in context.command.params:
            record = parameter.get_help_record(context)
            if record and record[1]:
                assert f".B {record[0]}\n{record[1]}\n" in section, parameter


def test_the_man_page_names_the_version_and_nothing_of_the_day_or_the_machine(page: str) -> None:
    assert f"parakeet-coreml {__version__}" in page
    assert str(Path.home()) not in page
    assert not re.search(r"20\d\d", page)


def test_troff_has_no_complaint(page: str) -> None:
    requires("groff", present=shutil.which("groff") is not None)
    command = ["groff", "-man", "-Tutf8", "-ww", "-z"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def complete(share: Path, *words: str, cwd: Path | None = None) -> list[str]:
    """Ask bash what may stand in place of the last word."""
    program = share.parent / "parakeet-coreml"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m parakeet_coreml "$@"\n')
    program.chmod(0o755)
    asked = f"""
        source {share}/bash-completion/completions/parakeet-coreml
        COMP_WORDS=(parakeet-coreml "$@") COMP_CWORD=$#
        _parakeet_coreml {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", asked, "bash", *words],
        capture_output=True,
        text=True,
        cwd=cwd or share,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_every_command(share: Path) -> None:
    assert complete(share, "") == program.list_commands(ALL[0])


def test_bash_completes_options_and_their_values(share: Path) -> None:
    options = [o for p in program.commands["progressive-record"].params for o in p.opts]
    wanted = {option for option in options if option.startswith("--m")}
    assert set(complete(share, "progressive-record", "--m")) == wanted
    assert complete(share, "progressive-record", "--format", "") == ["json", "text"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("progressive-record --model v", "v3 v3-int8 v2"),
        ("progressive-record --model t", "tiny-en"),
        ("doctor --model 1", "110m"),
        ("models download v", "v3 v3-int8 v2"),
        ("models download t", ""),
        ("progressive-record --events le", "level"),
        ("progressive-record --events level,par", "level,partial"),
        ("progressive-record --events level,le", ""),
        ("progressive-record --input m", "mic models music.wav"),
        ("progressive-record --input mu", "music.wav"),
        ("progressive-record --model mod", "models"),
        ("mod", "models"),
    ],
)
def test_bash_completes_values_and_files(
    share: Path, tmp_path: Path, words: str, values: str
) -> None:
    (tmp_path / "models").mkdir()  # a folder is no reason to take the command for one
    (tmp_path / "music.wav").touch()
    found = complete(share, *words.split(), cwd=tmp_path)
    assert sorted(set(found)) == sorted({*values.split()})


def test_bash_asks_no_folder_where_a_command_stands(share: Path) -> None:
    script = (share / "bash-completion" / "completions" / "parakeet-coreml").read_text()
    assert "complete -F" in script
    assert "-o filenames -F" not in script


def test_microphones_are_completed_with_their_spaces(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PulseServer("Desk Microphone") as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        assert complete(share, "progressive-record", "--device", "Desk") == ["Desk\\", "Microphone"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("record", "progressive-record"),
        ("transcribe", "progressive-record"),
        ("modles", "models"),
        ("docter", "doctor"),
        ("download", "models download"),
        ("help", "--help"),
    ],
)
def test_a_slip_is_told_with_what_may_be_meant(typed: str, meant: str) -> None:
    command = [sys.executable, "-P", "-m", "parakeet_coreml", typed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"Did you mean '{meant}'?" in done.stderr


def test_an_option_of_a_recording_alone_is_told_where_it_belongs() -> None:
    command = [sys.executable, "-P", "-m", "parakeet_coreml", "--model", "tiny-en"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "parakeet-coreml progressive-record --model" in done.stderr


def test_what_is_for_debugging_has_a_heading_of_its_own() -> None:
    command = [sys.executable, "-P", "-m", "parakeet_coreml", "progressive-record", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    usual, debugging = done.stdout.split("For debugging and tests:")
    for name in ("scripted", "--in-process"):
        assert name not in usual
        assert name in debugging


@pytest.mark.parametrize(("reader", "code"), [("cat", 0), ("true", 30)])
def test_completing_ends_as_any_command_does(reader: str, code: int) -> None:
    asked = f"""
        (sleep 1; "$@"; echo $? >&2) | {reader} >/dev/null
    """
    env = {
        **os.environ,
        "_PARAKEET_COREML_COMPLETE": "bash_complete",
        "COMP_WORDS": "parakeet-coreml ",
        "COMP_CWORD": "1",
    }
    command = [sys.executable, "-P", "-m", "parakeet_coreml"]
    done = subprocess.run(
        ["bash", "-c", asked, "bash", *command], env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr == f"{code}\n"


@pytest.mark.parametrize("asked", ["ksh_source", "bash_sources"])
def test_completions_for_no_shell_known_are_refused_in_words(asked: str) -> None:
    env = {**os.environ, "_PARAKEET_COREML_COMPLETE": asked}
    command = [sys.executable, "-P", "-m", "parakeet_coreml"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert not done.stdout
    assert asked in done.stderr
    assert "zsh_source" in done.stderr


def test_what_a_shell_evaluates_is_what_is_installed(share: Path) -> None:
    files = {
        "bash": "bash-completion/completions/parakeet-coreml",
        "zsh": "zsh/site-functions/_parakeet-coreml",
        "fish": "fish/vendor_completions.d/parakeet-coreml.fish",
    }
    for shell, file in files.items():
        env = {**os.environ, "_PARAKEET_COREML_COMPLETE": f"{shell}_source"}
        command = [sys.executable, "-P", "-m", "parakeet_coreml"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert done.stdout == (share / file).read_text()


def test_the_same_commands_give_the_same_bytes(share: Path, tmp_path: Path) -> None:
    wide = {**os.environ, "COLUMNS": "200", "HOME": "/elsewhere", "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, SCRIPT, tmp_path], env=wide, check=True, stdout=subprocess.DEVNULL
    )
    for path in share.rglob("*"):
        if path.is_file():
            other = tmp_path / "share" / path.relative_to(share)
            assert path.read_bytes() == other.read_bytes()

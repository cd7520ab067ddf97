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


def complete(share: Path, *words: str) -> list[str]:
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
        ["bash", "-c", asked, "bash", *words], capture_output=True, text=True, cwd=share, check=True
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


def test_completions_for_zsh_and_fish_ask_the_program(share: Path) -> None:
    zsh = (share / "zsh" / "site-functions" / "_parakeet-coreml").read_text()
    fish = (share / "fish" / "vendor_completions.d" / "parakeet-coreml.fish").read_text()
    assert zsh.startswith("#compdef parakeet-coreml")
    assert "_PARAKEET_COREML_COMPLETE=zsh_complete parakeet-coreml" in zsh
    assert "_PARAKEET_COREML_COMPLETE=fish_complete" in fish


def test_the_same_commands_give_the_same_bytes(share: Path, tmp_path: Path) -> None:
    wide = {**os.environ, "COLUMNS": "200", "HOME": "/elsewhere", "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, SCRIPT, tmp_path], env=wide, check=True, stdout=subprocess.DEVNULL
    )
    for path in share.rglob("*"):
        if path.is_file():
            other = tmp_path / "share" / path.relative_to(share)
            assert path.read_bytes() == other.read_bytes()

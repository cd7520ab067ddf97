"""Write the man page and the shell completions, all from the commands themselves.

    python build/commands.py FOLDER

FOLDER gets `share/…` as it is laid out under a prefix. The completions ask the program, so that
they know every option of the version that is installed.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from parakeet_coreml import __version__
from parakeet_coreml.cli.main import main as program
from parakeet_coreml.cli.shells import BASH, FISH, ZSH

NAME = "parakeet-coreml"

COMPLETIONS = {
    f"share/bash-completion/completions/{NAME}": BASH,
    f"share/zsh/site-functions/_{NAME}": ZSH,
    f"share/fish/vendor_completions.d/{NAME}.fish": FISH,
}


def main() -> None:
    """Write all files into the folder that was named."""
    folder = Path(sys.argv[1])
    for path, text in pages().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)


def pages() -> dict[str, str]:
    """Return every file's text by its path."""
    return {f"share/man/man1/{NAME}.1": man_page(), **COMPLETIONS}


def man_page() -> str:
    """Return the man page: the help of every command, in the language of man(7)."""
    # What --help takes from the machine at hand must not get into a page for all.
    os.environ["COLUMNS"] = "80"
    context = click.Context(program, info_name=NAME, **program.context_settings)
    summary = _escaped(program.get_short_help_str(200).rstrip("."))
    lines = [
        f'.TH PARAKEET-COREML 1 "" "{NAME} {__version__}" "User Commands"',
        ".SH NAME",
        f"{NAME} \\- {summary[0].lower()}{summary[1:]}",
        ".SH SYNOPSIS",
        f".B {NAME}",
        _escaped(" ".join(program.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_prose(program.help or ""),
    ]
    for command, inner in _commands(context):
        lines += _section(command, inner)
    return "\n".join([*lines, ""])


def _commands(context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command below one, groups before what is in them."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        if (command := group.get_command(context, name)) is None:
            raise LookupError(name)
        settings = command.context_settings
        inner = click.Context(command, info_name=name, parent=context, **settings)
        yield command, inner
        yield from _commands(inner)


def _section(command: click.Command, context: click.Context) -> list[str]:
    path = context.command_path.removeprefix(f"{NAME} ")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f'.SH "{path.upper()}"', f".B {NAME} {_escaped(path)}", _escaped(usage), ".PP"]
    lines += _prose(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:  # arguments are told of in the text
            lines += [".TP", f".B {_escaped(record[0])}", _escaped(record[1])]
    return lines + _prose(command.epilog or "")


def _prose(text: str) -> list[str]:
    """Return paragraphs; click's mark keeps the lines of some."""
    lines = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        kept = paragraph.lstrip().startswith("\b")
        body = [_escaped(line) for line in paragraph.replace("\b", "").strip("\n").splitlines()]
        lines += [".PP", *([".nf", *body, ".fi"] if kept else [line.strip() for line in body])]
    return lines


def _escaped(text: str) -> str:
    """Return text that troff prints as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    main()

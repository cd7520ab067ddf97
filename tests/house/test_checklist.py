"""The checklist for a Mac, which nothing here can run: what its steps name is there."""

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from parakeet_coreml.backends.base import COMPUTE_UNITS
from parakeet_coreml.cli.main import main
from parakeet_coreml.protocol.json_lines import EVENTS
from parakeet_coreml.protocol.schema import json_schema
from parakeet_coreml.protocol.types import ERRORS, REASONS, WARNINGS
from parakeet_coreml.store.manifest import published

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "MAC-CHECKLIST.md"

OURS = {"REC": ("progressive-record",), "parakeet-coreml": ()}
"""How the page writes our program, and the command that is meant."""

TOOLS = {
    *("afconvert", "brew", "gh", "grep", "jq", "kill", "mkfifo", "npm", "npx", "pip", "python"),
    *("python3.13", "sort", "sudo", "tail", "uniq", "make", "for", "done", "."),
}
"""Words that begin what is not ours."""

PLACES = {
    "COLD": "parakeet_coreml/backends/coreml.py",
    "Buffers.REFERENCES = 1": "parakeet_coreml/backends/binding.py",
    "REST = 0": "parakeet_coreml/backends/binding.py",
    "h_in": "parakeet_coreml/backends/coreml.py",
    "encoder": "parakeet_coreml/backends/coreml.py",
    "Encoder_v2": "parakeet_coreml/manifests/v3-int8-coreml.json",
    "NSMicrophoneUsageDescription": "examples/electron/electron-builder.yml",
    "~/Library/Caches/*/com.apple.e5rt.e5bundlecache": "parakeet_coreml/checks/doctor.py",
    "requires": "tests/support.py",
    "Error:": "parakeet_coreml/cli/main.py",
    "gpu": "parakeet_coreml/backends/mlx.py",
    "macos": ".github/workflows/release.yml",
    "ffmpeg": "parakeet_coreml/audio/decoder.py",
}
"""What is none of the protocol, and where it, or what `WRITTEN` says it is there, stands."""

WRITTEN = {
    "Buffers.REFERENCES = 1": "REFERENCES = ",
    "REST = 0": "REST = ",
    "~/Library/Caches/*/com.apple.e5rt.e5bundlecache": "com.apple.e5rt.e5bundlecache",
}

APPLES = {
    "True": "what Python prints",
    "MLComputePlan.load_from_path(FOLDER, ComputeUnit.CPU_AND_NE)": "of coremltools on a Mac",
}


@cache
def steps() -> dict[int, str]:
    """Return the text of every step by its number, blanks and line ends as one blank."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    return {int(number): " ".join(body.split()) for number, body in found}


def spans() -> Iterator[Any]:
    """Yield every piece of code of every step, and each line of the preparations."""
    (block,) = re.findall(r"^```\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        yield pytest.param(line, id=f"0-{line[:40]}")
    for number, body in steps().items():
        for span in re.findall(r"`([^`]+)`", body):
            yield pytest.param(span, id=f"{number}-{span[:40]}")


def names(shape: Any) -> Iterator[str]:
    """Yield the keys of every kind of line."""
    if isinstance(shape, dict):
        yield from shape.get("properties", ())
        for inner in shape.values():
            yield from names(inner)
    elif isinstance(shape, list):
        for inner in shape:
            yield from names(inner)


KNOWN = {*WARNINGS, *ERRORS, *EVENTS, *REASONS, *COMPUTE_UNITS, *names(json_schema())}


def is_file(span: str) -> bool:
    folders = ("parakeet_coreml", "build", ".github")
    return (ROOT / span).exists() or any(
        path for folder in folders for path in (ROOT / folder).rglob(Path(span).name)
    )


def commands(line: str) -> Iterator[list[str]]:
    """Yield each command of a line of shell, without what sends its words elsewhere."""
    lexer = shlex.shlex(
        re.sub(r"(?<=\s)\d?>(&\d|\S+)", "", line), posix=True, punctuation_chars="|;&"
    )
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|;&"):
            if words:
                yield words
            words = []
        elif words or (word != "do" and not re.fullmatch(r"\w+=.*", word)):
            words.append(word)


def check_ours(words: list[str]) -> None:
    """Hold a command of ours to what the program takes: its options, their choices, its models."""
    command: click.Command = main
    while isinstance(command, click.Group) and not words[0].startswith("--"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words
        command, words = found, words[1:]
    options = {name: each for each in command.params for name in each.opts}
    models = {manifest.name for manifest in published()} | {"tiny-en"}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            assert word in models or word.startswith("$"), word
            continue
        option = options.get(word)
        assert isinstance(option, click.Option), f"{word} is no option of {command.name}"
        value = "" if option.is_flag else next(rest, "")
        if value.startswith("$") or value.isupper():
            continue
        if isinstance(option.type, click.Choice) and value:
            assert value in option.type.choices, value
        if word == "--model":
            assert value in models, value
        if word == "--events":
            assert set(value.split(",")) <= {*EVENTS, "all"}, value


def check_python(code: str) -> None:
    """Hold what is imported of ours, and taken from that, to what is there."""
    modules: dict[str, Any] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("parakeet_coreml"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                modules[alias.asname or alias.name] = getattr(module, alias.name)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = modules.get(node.value.id)
            assert owner is None or hasattr(owner, node.attr), node.attr


def check_tool(words: list[str]) -> None:
    """Hold what another program is asked for to what is here, where it is ours."""
    assert words[0] in TOOLS, words
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    if words[:2] == ["npm", "run"]:
        package = json.loads((ROOT / "examples/electron/package.json").read_text())
        assert words[2] in package["scripts"]
    if words[0] == "python" and "-c" in words:
        check_python(words[words.index("-c") + 1])


@pytest.mark.parametrize("span", list(spans()))
def test_what_a_step_names_is_there(span: str) -> None:
    if span in KNOWN or span in APPLES or is_file(span):
        return
    if span in PLACES:
        assert WRITTEN.get(span, span) in (ROOT / PLACES[span]).read_text(encoding="utf-8"), span
        return
    if field := re.fullmatch(r'"(\w+)":(true|false)', span):
        assert field[1] in KNOWN
        return
    if span.startswith("--"):
        check_ours(["progressive-record", *re.sub(r" <Tab>$| [A-Z]+$", " X", span).split()][:3])
        return
    for variable in re.findall(r"\b(PARAKEET_\w+)=", span):
        assert variable in (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    for words in commands(span):
        if words[0] in OURS:
            check_ours([*OURS[words[0]], *words[1:]])
        else:
            check_tool(words)


@pytest.mark.parametrize("line", ["REC --nothing", "REC --backend cuda", "parakeet-coreml heat"])
def test_what_is_not_there_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        test_what_a_step_names_is_there(line)


def test_every_step_has_its_guard() -> None:
    assert [number for number, body in steps().items() if "*Guard:*" not in body] == []


def test_what_is_listed_here_is_named_there() -> None:
    every = {str(param.values[0]) for param in spans()}
    assert (PLACES.keys() | APPLES.keys()) - every == set()

"""The printed schema: true of what is written, open to what is not yet, and the same everywhere."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from jsonschema import Draft202012Validator
from schemas import check_line, published, strict

import parakeet_coreml
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.protocol.json_lines import EVENTS
from parakeet_coreml.protocol.schema import json_schema, typescript
from parakeet_coreml.protocol.types import ERRORS, LINES, PARTS, WARNINGS

PACKAGE = Path(parakeet_coreml.__file__).parent
ROOT = PACKAGE.parent
DOCUMENTS = ("README.md", "docs/HOSTS.md")
CHUNK: dict[str, Any] = {
    "type": "chunk",
    "index": 0,
    "text": "fix the login bug",
    "confidence": 0.94,
    "elapsed_ms": 52,
}


def examples(document: str) -> list[str]:
    """Return the lines of a document that show a line."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r'^\{"type":.*\}$', text, re.MULTILINE)


def run(*arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "parakeet_coreml", "schema", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_command_prints_a_valid_schema_of_draft_2020_12() -> None:
    schema = json.loads(run())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    assert schema == json_schema()


def test_the_command_prints_what_the_client_ships_for_typescript() -> None:
    shipped = ROOT / "examples" / "node-client" / "events.d.ts"
    assert run("--typescript") == shipped.read_text(encoding="utf-8")


def test_the_bytes_that_are_frozen_keep_to_the_schema() -> None:
    frozen = (ROOT / "tests" / "golden" / "lines.jsonl").read_text("utf-8").splitlines()
    lines = [json.loads(line) for line in frozen]
    own = [line for line in lines if line["type"] in {"chunk", "error", "hello", "done"}]
    assert own
    for line in own:
        check_line(line)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_line_a_document_shows_keeps_to_the_schema(document: str) -> None:
    shown = examples(document)
    assert shown
    for line in shown:
        check_line(json.loads(line))


def test_the_documents_show_every_line_and_every_key() -> None:
    shown = [json.loads(line) for document in DOCUMENTS for line in examples(document)]
    for kind in LINES:
        name, hints = get_args(get_type_hints(kind)["type"])[0], get_type_hints(kind)
        keys = {key for line in shown if line["type"] == name for key in line}
        assert keys >= set(hints), name


def test_types_and_keys_of_later_versions_are_allowed() -> None:
    published().validate({**CHUNK, "speaker": 2})
    published().validate({"type": "applause", "t_ms": 3})


@pytest.mark.parametrize(
    "line",
    [
        {},
        [],
        {"type": 3},
        {**CHUNK, "index": "0"},
        {**CHUNK, "index": -1},
        {**CHUNK, "confidence": 1.1},
        {**CHUNK, "elapsed_ms": 1.5},
        {**CHUNK, "words": [{"text": "fix"}]},
        {key: value for key, value in CHUNK.items() if key != "text"},
        {"type": "ready", "what": "lunch"},
        {"type": "done", "totalChunks": 1},
        {"type": "speech", "state": "middle", "t_ms": 0},
    ],
    ids=json.dumps,
)
def test_what_is_no_line_is_refused(line: object) -> None:
    assert not published().is_valid(line)


@pytest.mark.parametrize("line", [{**CHUNK, "speaker": 2}, {"type": "applause"}], ids=json.dumps)
def test_our_own_lines_may_hold_nothing_unknown(line: object) -> None:
    assert not strict().is_valid(line)


def test_the_table_has_the_events_that_can_be_asked_for() -> None:
    types = {get_args(get_type_hints(line)["type"])[0] for line in LINES}
    assert types == {"chunk", "error", "done", *EVENTS}


def test_the_table_has_every_error() -> None:
    assert set(ERRORS) == {ParakeetError.name} | {e.name for e in ParakeetError.__subclasses__()}
    assert not [leaf for e in ParakeetError.__subclasses__() for leaf in e.__subclasses__()]


def test_the_table_has_every_warning_that_the_package_gives() -> None:
    given = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.search(
                r"(warn|tell|on_odd)$", ast.unparse(node.func)
            ):
                (code, *_) = [*node.args, None]
                if isinstance(code, ast.Constant):
                    given.add(code.value)
    assert given == set(WARNINGS)


def test_every_line_says_what_it_is_for() -> None:
    for kind in (*LINES, *PARTS):
        assert kind.__doc__
        assert kind.__doc__.endswith(".")


def test_typescript_declares_every_key() -> None:
    declared = typescript()
    for kind in (*LINES, *PARTS):
        body = declared.split(f"export interface {kind.__name__} {{")[1].split("\n}\n")[0]
        keys = re.findall(r"^  (\w+)\??:", body, re.MULTILINE)
        assert keys == list(get_type_hints(kind))


def test_typescript_knows_what_may_be_absent() -> None:
    declared = typescript()
    assert "\n  elapsed_ms: number;" in declared
    assert "\n  words?: TimedWord[];" in declared
    assert "\n  backend?: string | null;" in declared
    assert '\n  state: "start" | "end";' in declared
    assert "\n  stages: Record<string, number>;" in declared
    assert '    | "worker_restarted"\n    | (string & {});' in declared


def test_hosts_are_told_what_to_do_with_every_error_and_warning() -> None:
    guide = (ROOT / "docs" / "HOSTS.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| (\d+) \| `(\w+)` \| .+ \|$", guide, re.MULTILINE))
    errors: set[type[ParakeetError]] = {ParakeetError, *ParakeetError.__subclasses__()}
    assert rows == {(str(error.exit_code), error.name) for error in errors}
    assert set(re.findall(r"^\| `(\w+)` \| ", guide, re.MULTILINE)) >= set(WARNINGS)

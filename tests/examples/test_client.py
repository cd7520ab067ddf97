"""The Node client: against programs that behave badly, against the real one, and its types."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples_stage import EXAMPLES, Stage, set_stage
from recorder import eventually, processes_naming
from support import requires

pytest_plugins = ("examples_fixtures",)

CLIENT = Path(__file__).parent / "client"


def named(file: str) -> list[str]:
    """Return the names of the tests in a file."""
    return re.findall(
        r'^test\("([^"]+)"', (CLIENT / file).read_text(encoding="utf-8"), re.MULTILINE
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, node: str) -> Iterator[dict[str, str]]:
    """Give what Node's test runner says of each test, by name."""
    folder = tmp_path_factory.mktemp("client")
    files = sorted(CLIENT.glob("*.test.mjs"))
    done = set_stage(folder).run(node, "--test", "--test-reporter=tap", *files)
    reports = re.split(r"^ *# Subtest: ", done.stdout, flags=re.MULTILINE)
    yield {report.partition("\n")[0]: report for report in reports}
    assert eventually(lambda: not processes_naming(str(folder)), 10), "a process is left"


@pytest.mark.parametrize("name", named("client.test.mjs"))
def test_the_client_with_a_bad_program(name: str, results: dict[str, str]) -> None:
    assert re.search(r"^ *ok ", results[name], re.MULTILINE), results[name]


@pytest.mark.parametrize("name", named("real.test.mjs"))
def test_the_client_with_the_real_program(name: str, results: dict[str, str]) -> None:
    assert re.search(r"^ *ok ", results[name], re.MULTILINE), results[name]


def test_the_declarations_allow_what_works_and_refuse_what_does_not(stage: Stage) -> None:
    requires("the TypeScript compiler", present=shutil.which("tsc") is not None)
    done = stage.run(
        "tsc", "--noEmit", "--strict", "--skipLibCheck", *MODULES, CLIENT / "types.mts"
    )
    assert done.returncode == 0, done.stdout


MODULES = ("--module", "node16", "--moduleResolution", "node16", "--target", "es2022")


def test_the_client_has_no_dependencies_and_a_name_of_its_own() -> None:
    package = (EXAMPLES / "node-client" / "package.json").read_text(encoding="utf-8")
    assert "ependencies" not in package
    assert '"name": "parakeet-coreml"' not in package
    imports = set()
    for file in (EXAMPLES / "node-client").glob("*.js"):
        imports |= set(re.findall(r'from "([^"]+)"', file.read_text(encoding="utf-8")))
    assert imports == {"node:child_process", "./index.js", "./lines.js", "./tools.js"}


def test_every_option_of_the_program_has_a_declaration(stage: Stage) -> None:
    help_text = stage.run("parakeet-coreml", "progressive-record", "--help").stdout
    options = set(re.findall(r"^  --([a-z0-9-]+)", help_text, re.MULTILINE))
    assert "chunk-seconds" in options
    declared = (EXAMPLES / "node-client" / "index.d.ts").read_text(encoding="utf-8")
    for option in options - {
        "format",
        "in-process",
    }:  # the client reads JSON; debugging goes by args
        name = re.sub(r"-([a-z])", lambda found: found[1].upper(), option)
        assert re.search(rf"^  {name}\?:", declared, re.MULTILINE), option

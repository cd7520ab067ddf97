"""Every command that the pages tell people is run here, or said not to be, and why."""

import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator

import click
import pytest
from examples_stage import ROOT, Stage
from packaging.requirements import Requirement
from support import requires

from parakeet_coreml.checks.report import SECTIONS
from parakeet_coreml.cli.main import main
from parakeet_coreml.store.manifest import published

pytest_plugins = ("examples_fixtures",)

PAGES = ("README.md", "docs/HOSTS.md", "docs/TROUBLESHOOTING.md")

MICROPHONE = "needs a microphone; tests/host records from one"
INSTALL = "changes the machine; `make fresh` does it on a bare Debian"
BY_HAND = (
    "fetches from the index; tried by hand on Linux with pipx 1.18.4 and uv 0.13.9, 2026-11-27"
)
NETWORK = "fetches from the network; tests/store downloads from a server of its own"

NOT_RUN = {
    "make run": INSTALL,
    "make test": INSTALL,
    "make run PYTHON=python3.13": "tests/build/test_venv.py chooses among Pythons",
    "sudo apt install git make python3-venv": INSTALL,
    "sudo apt install python3-venv": INSTALL,
    "sudo apt install libportaudio2": INSTALL,
    "sudo apt install pulseaudio libasound2-plugins": INSTALL,
    "uv python install 3.13": "fetches a Python; not run",
    "pip install .": "build/smoke.sh installs the wheel where nothing else is",
    "pipx install .": BY_HAND,
    "uv tool install .": BY_HAND,
    "parakeet-coreml progressive-record --model tiny-en --format text": MICROPHONE,
    "parakeet-coreml progressive-record --format text": MICROPHONE,
    "parakeet-coreml progressive-record --model tiny-en": MICROPHONE,
    "parakeet-coreml progressive-record --model tiny-en --device Headset": MICROPHONE,
    "parakeet-coreml models download v3": NETWORK,
    "HTTPS_PROXY=http://proxy.example:3128 parakeet-coreml models download v3": NETWORK,
    "SSL_CERT_FILE=/etc/ssl/company.pem parakeet-coreml models download v3": NETWORK,
    "PARAKEET_COREML_MIRROR=https://mirror.example parakeet-coreml models download v3": NETWORK,
    "cd examples/electron && npm install": NETWORK,
    'cd examples/electron && PARAKEET_COREML="$PWD/../../.venv/bin/parakeet-coreml" npm start': (
        "Electron needs a screen; tests/examples/test_electron.py runs it on a stand-in"
    ),
    "npm install ./examples/node-client": "below, in a folder of its own",
    'man "$(dirname "$(readlink -f "$(command -v parakeet-coreml)")")'
    '/../share/man/man1/parakeet-coreml.1"': "tests/build/test_pages.py asks groff",
    **dict.fromkeys(
        (
            "examples/bash/dictate.sh --model tiny-en",
            "PARAKEET_COREML=.venv/bin/parakeet-coreml examples/bash/dictate.sh",
            "examples/bash/transcribe.sh *.wav",
            "PARAKEET_COREML_MODEL=tiny-en examples/bash/transcribe.sh *.wav",
            "node examples/node/dictate.mjs --model=tiny-en",
            "python3 examples/python/dictate.py --model tiny-en",
        ),
        "tests/examples/test_terminal.py runs it, on sound files",
    ),
    "parakeet-coreml progressive-record | python3 examples/python/written.py": (
        "tests/examples/test_written.py runs it, on lines"
    ),
}
"""Commands of the pages that `test_a_command_works` leaves out, and the reason."""

RUN = {
    "parakeet-coreml --version": 0,
    "parakeet-coreml devices": None,
    "parakeet-coreml doctor": None,
    "parakeet-coreml doctor --verify": None,
    "parakeet-coreml doctor --model tiny-en": None,
    "parakeet-coreml models list": 0,
    "parakeet-coreml warm": 20,
    "parakeet-coreml progressive-record --model tiny-en --input "
    "parakeet_coreml/samples/speech.wav": 0,
    'eval "$(_PARAKEET_COREML_COMPLETE=bash_source parakeet-coreml)"': 0,
    'eval "$(_PARAKEET_COREML_COMPLETE=zsh_source parakeet-coreml)"': 0,
    "_PARAKEET_COREML_COMPLETE=fish_source parakeet-coreml | source": 0,
}
"""Commands that are run, and their exit code where it does not depend on the machine."""


def told() -> Iterator[str]:
    """Yield every line of the pages' shell blocks, without what is said behind it."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield from (re.sub(r"  +#.*", "", line).strip() for line in block.splitlines() if line)

    for example in sorted((ROOT / "examples").rglob("*")):
        if example.suffix in {".sh", ".mjs", ".py"}:
            head = example.read_text(encoding="utf-8")[:1000]
            for line in re.findall(r"^(?:# | \*)? {4,5}(\S.*)$", head, re.MULTILINE):
                if re.search(r"examples/|parakeet-coreml ", line):
                    yield re.sub(r"  +#.*", "", line).strip()


def test_every_command_is_run_or_listed_as_not_run() -> None:
    assert set(told()) == RUN.keys() | NOT_RUN.keys()


@pytest.mark.parametrize(("line", "code"), RUN.items(), ids=RUN)
def test_a_command_works(line: str, code: int | None, stage: Stage) -> None:
    shell = next((name for name in ("zsh", "fish") if name in line), "bash")
    requires(shell, present=shutil.which(shell) is not None)
    env = {"PARAKEET_COREML_BACKEND": "onnx", "PARAKEET_COREML_MODELS_DIR": str(stage.folder)}
    env["PARAKEET_COREML_MODEL"] = "v3"
    done = stage.run(shell, "-c", f"cd {shlex.quote(str(ROOT))} && {line}", env=env)
    assert "Traceback" not in done.stderr
    assert done.returncode in ({0, 10, 20} if code is None else {code}), done.stderr
    assert done.stdout or done.stderr or "COMPLETE" in line


def block_of(page: str, language: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(block)


def test_the_readmes_program_in_python_prints_the_words(stage: Stage) -> None:
    sample = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
    env = {"PARAKEET_COREML_BACKEND": "onnx", "PARAKEET_COREML_INPUT": str(sample)}
    env["PYTHONPATH"] = str(ROOT)
    done = stage.run(sys.executable, "-c", block_of("README.md", "python"), env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("push the commit")


def test_the_guides_program_for_node_shows_the_words(stage: Stage) -> None:
    requires("Node", present=shutil.which("node") is not None)
    modules = stage.folder / "node_modules" / "@parakeet"
    modules.mkdir(parents=True)
    (modules / "dictation").symlink_to(ROOT / "examples" / "node-client")
    around = "const button = {}, { signal } = new AbortController(), show = console.log;\n"
    program = stage.folder / "host.mjs"
    program.write_text(around + block_of("docs/HOSTS.md", "js"), encoding="utf-8")
    done = stage.run("node", program, env={"PARAKEET_COREML_INPUT": str(stage.speech)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(stage.words)


def named_in_text() -> Iterator[tuple[str, str]]:
    """Yield the commands that stand in the text of the pages."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`]+)`", text):
            words = " ".join(code.split())
            if words.startswith("parakeet-coreml "):
                yield page, words


@pytest.mark.parametrize(("page", "line"), list(named_in_text()))
def test_what_is_named_in_the_text_exists(page: str, line: str) -> None:
    command: click.Command | None = main
    context = click.Context(main, info_name="parakeet-coreml")
    for word in shlex.split(line)[1:]:
        if word.startswith("-"):
            assert command is not None
            options = {o for p in command.get_params(context) for o in p.opts}
            assert word.partition("=")[0] in options, line
        elif isinstance(command, click.Group):
            command = command.get_command(context, word)
            assert command is not None, line


def test_the_client_installs_from_the_repository(stage: Stage) -> None:
    if shutil.which("npm") is None:  # a large package, which the gate's machine does without
        pytest.skip("npm is absent; on Debian: apt install npm")
    (stage.folder / "package.json").write_text("{}")
    client = ROOT / "examples" / "node-client"
    done = stage.run("npm", "install", "--offline", "--no-audit", "--no-fund", client)
    assert done.returncode == 0, done.stderr
    script = "import { dictate } from '@parakeet/dictation'; console.log(typeof dictate)"
    done = stage.run("node", "--input-type=module", "-e", script)
    assert done.stdout == "function\n", done.stderr


def test_doctor_names_sections_that_there_are() -> None:
    page = (ROOT / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
    assert set(SECTIONS.values()) <= set(re.findall(r"^## (.*)$", page, re.MULTILINE))


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            path, _, section = target.partition("#")
            file = ((ROOT / page).parent / path) if path else ROOT / page
            assert file.exists(), f"{page}: {target}"
            if section:
                heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
                assert section in anchors, f"{page}: {target}"


def test_the_readme_fits_and_its_sizes_are_the_manifests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    for model in published():
        (row,) = re.findall(rf"^\| `{model.name}`.*$", readme, re.MULTILINE)
        assert f" {model.size / 1e6:.0f} MB " in row, model.name


def test_the_readme_says_why_each_dependency_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    why = readme.partition("\n## Dependencies, and why\n")[2].lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    for line in (*project["dependencies"], *optional["bench"], optional["mlx"][0]):
        name = Requirement(line).name.removesuffix("2")
        assert name in why, line

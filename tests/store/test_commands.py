"""The `models` commands as a shell or a host runs them."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from fault_server import BIG, FILES, QUICK, SMALL, FaultServer, content, manifest_of
from support import requires

from parakeet_coreml.checks import fit
from parakeet_coreml.cli import models, progress
from parakeet_coreml.store import manifest
from parakeet_coreml.store.manifest import MARKER
from parakeet_coreml.store.state import STAGING

pytest_plugins = ("fault_fixtures",)

REAL_MANIFESTS = manifest.MANIFESTS

Run = Callable[..., Result]

PROGRAM = """
import sys
from pathlib import Path
from parakeet_coreml.store import manifest
manifest.MANIFESTS = Path(sys.argv.pop(1))
from parakeet_coreml.__main__ import main
main()
"""


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ship small models instead of the real ones."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for name, backends in manifest.PUBLISHED.items():
        for backend in backends:
            text = manifest_of(FILES, name=name, backend=backend).text
            (folder / f"{name}-{backend}.json").write_text(text)
    monkeypatch.setattr(manifest, "MANIFESTS", folder)
    monkeypatch.setattr(models, "Limits", lambda: QUICK)
    return folder


@pytest.fixture
def run(shipped: Path, models_dir: Path, clean: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process."""
    monkeypatch.setenv("PARAKEET_COREML_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("PARAKEET_COREML_BACKEND", "onnx")

    def invoke(*arguments: str, text: str = "") -> Result:
        return CliRunner().invoke(models.models, arguments, input=text)

    return invoke


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_download_tells_progress_as_json_lines_and_the_result_to_people(
    hub: FaultServer, run: Run, models_dir: Path
) -> None:
    result = run("download", "v3")
    assert result.exit_code == 0
    told = lines(result.stdout)
    assert told[-1] == {
        "type": "progress",
        "what": "download",
        "done_bytes": SMALL.size,
        "total_bytes": SMALL.size,
    }
    assert result.stdout.splitlines()[-1].startswith('{"type":"progress","what":"download",')
    folder = models_dir / SMALL.folder
    assert result.stderr.splitlines() == [
        f"Downloading v3 for onnx: 340 kB, from 127.0.0.1 into {folder}",
        f"v3 for onnx is installed in {folder}",
    ]
    again = run("download", "v3").stderr
    assert again.startswith(f"v3 for onnx is in {folder}; reading its 340 kB\n")


def test_a_download_says_what_it_does_before_the_network_answers(
    hub: FaultServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.plan = ["503", "503", "cut:100000", "404"]
    result = run("download", "v3")
    head, *retries, error, _ = result.stderr.splitlines()
    assert head.startswith("Downloading v3 for onnx: ")
    assert [line.partition(";")[2] for line in retries] == 3 * [" trying again in 0 s"]
    assert retries[0].startswith("127.0.0.1 answers 503 ")
    assert error.startswith("Error: cannot download")
    assert lines(result.stdout)[0]["done_bytes"] == 0
    hub.plan = ["ok"]
    assert ": 340 kB, 100 kB of it here already, from " in run("download", "v3").stderr


def test_a_quiet_download_prints_no_progress(hub: FaultServer, run: Run) -> None:
    assert run("download", "v3", "--quiet").stdout == ""


def test_progress_comes_at_most_once_a_second_and_at_the_end() -> None:
    shown: list[int] = []
    paced = progress._Paced(shown.append, 1000, seconds=3600)
    for done in (1, 2, 3, 1000, 1000):
        paced(done)
    assert shown == [1, 1000]


def test_a_model_goes_through_its_states(hub: FaultServer, run: Run, models_dir: Path) -> None:
    def state() -> object:
        rows = lines(run("list", "--json").stdout)
        (row,) = [row for row in rows if (row["name"], row["backend"]) == ("v3", "onnx")]
        assert row["path"] == str(models_dir / SMALL.folder)
        return row["state"], row["bytes"], row["done_bytes"]

    assert state() == ("missing", SMALL.size, 0)
    hub.plan = ["cut:100000", "404"]
    run("download", "v3")
    assert state() == ("partial", SMALL.size, 100_000 + len(FILES["config.json"]))
    hub.plan = ["ok"]
    run("download", "v3")
    assert state() == ("installed", SMALL.size, SMALL.size)
    (models_dir / SMALL.folder / BIG).write_bytes(b"")
    assert state() == ("damaged", SMALL.size, 0)
    assert run("remove", "v3", "--yes").exit_code == 0
    assert state() == ("missing", SMALL.size, 0)


def test_list_names_every_model_for_people(run: Run) -> None:
    result = run("list")
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["NAME", "BACKEND", "ENCODER", "SIZE", "STATE", "HERE", "FOLDER"]
    published = [row.split()[:2] for row in rows if not row.startswith("tiny-en")]
    assert published == [[n, b] for n, backends in manifest.PUBLISHED.items() for b in backends]


def test_list_says_what_is_for_this_machine_and_what_is_wrong_with_an_encoder(
    shipped: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "MANIFESTS", REAL_MANIFESTS)
    on_linux = {row["name"]: row for row in lines(run("list", "--json").stdout)[-20:]}
    assert on_linux["v3-int8"]["misfit"] == "it needs a Mac with Apple silicon"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="arm64"))
    monkeypatch.setattr(fit, "find_spec", lambda _: object())
    result = run("list")
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("v3       coreml")]
    assert row.split()[2:7] == ["6-bit", "483", "MB", "missing", "yes"]
    flaw = "v3 coreml: its 6-bit encoder gets some words wrong, in Ukrainian for one"
    assert flaw in result.stderr
    monkeypatch.setattr(os, "sysconf", lambda _: 1 << 15)  # 1 GB
    result = run("list")
    assert "Not here, mlx: it is larger than this machine's 1.1 GB of memory" in result.stderr
    monkeypatch.setattr(fit, "find_spec", lambda _: None)
    assert "the package onnxruntime is absent: pip install" in run("list").stderr


def test_verify_and_path_speak_of_an_installed_model(
    hub: FaultServer, run: Run, models_dir: Path
) -> None:
    run("download", "v3")
    result = run("verify", "v3")
    assert (result.exit_code, lines(result.stdout)[-1]["done_bytes"]) == (0, SMALL.size)
    assert run("path", "v3").stdout == f"{models_dir / SMALL.folder}\n"


def test_verify_exits_21_and_names_the_file_and_the_cure(
    hub: FaultServer, run: Run, models_dir: Path
) -> None:
    run("download", "v3")
    path = models_dir / SMALL.folder / BIG
    path.write_bytes(content(len(FILES[BIG]), 5))
    result = run("verify", "v3", "--quiet")
    assert result.exit_code == 21
    error, hint = result.stderr.splitlines()
    assert str(path) in error
    assert hint == (f"parakeet-coreml models download v3 --backend onnx --models-dir {models_dir}")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["path", "v3"], 20, "models download v3 --backend onnx"),
        (["verify", "v3"], 20, "models download v3 --backend onnx"),
        (["remove", "v3", "--yes"], 20, "not installed"),
        (["download", "v3"], 24, "answers 404"),
        (["download", "110m"], 2, "--backend coreml"),
        (["download", "v9"], 2, "v3, v3-int8, v2, 110m"),
        (["download", "some/folder"], 2, "v3, v3-int8, v2, 110m"),
        (["verify", "v9"], 2, "v3, v3-int8, v2, 110m"),
        (["path", "v9"], 2, "tiny-en"),
        (["remove", "../..", "--yes"], 2, "v3, v3-int8, v2, 110m"),
        (["remove", "tiny-en", "--yes"], 2, "built in"),
        (["download", "v3", "--backend", "other"], 2, "--backend"),
        (["download", "v3", "--unknown"], 2, "--unknown"),
        (["download", "v3", "--models-dir", "/dev/null"], 31, "/dev/null"),
        (["download", "v3", "--models-dir", "/proc/1/x"], 31, "/proc/1/x"),
        (["list", "--models-dir", "/dev/null"], 31, "/dev/null"),
    ],
)
def test_every_failure_is_told_in_words_with_its_exit_code(
    hub: FaultServer, run: Run, arguments: list[str], code: int, words: str
) -> None:
    hub.plan = ["404"]
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_what_is_not_installed_has_no_progress(hub: FaultServer, run: Run) -> None:
    result = run("verify", "v3")
    assert result.exit_code == 20
    assert result.stdout == ""


def test_an_offline_switch_exits_24(
    hub: FaultServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run("download", "v3").exit_code == 24


def test_remove_asks_first(hub: FaultServer, run: Run, models_dir: Path) -> None:
    run("download", "v3")
    assert run("remove", "v3", text="n\n").exit_code == 0
    nobody = run("remove", "v3")
    assert nobody.exit_code == 2
    assert "--yes" in nobody.stderr
    assert (models_dir / SMALL.folder / MARKER).exists()
    assert run("remove", "v3", text="y\n").exit_code == 0
    assert not (models_dir / SMALL.folder).exists()


def test_nobody_is_asked_about_a_model_that_is_not_there(hub: FaultServer, run: Run) -> None:
    told = run("remove", "v3", text="y\n")
    assert told.exit_code == 20
    assert "Remove" not in told.stderr
    assert "not installed" in told.stderr


@pytest.mark.parametrize("command", ["path", "list", "remove", "verify", "download"])
def test_a_folder_that_cannot_be_is_told_in_words(
    hub: FaultServer, run: Run, tmp_path: Path, command: str
) -> None:
    name = [] if command == "list" else ["v3"]
    told = run(command, *name, "--models-dir", str(tmp_path / ("x" * 300)))
    assert told.exit_code == 31, told.exception
    assert "File name too long" in told.stderr


@pytest.mark.parametrize("command", ["", "list", "path", "download", "verify", "remove"])
def test_help_says_what_a_command_is_for(run: Run, command: str) -> None:
    for flag in ("-h", "--help"):
        result = run(*filter(None, [command, flag]))
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) > 5


# As a process


def start(
    shipped: Path, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PROGRAM, str(shipped), "models", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("path v3", 20), ("download 110m", 2), ("download v3 --unknown", 2), ("download v3", 24)],
)
def test_the_program_leaves_with_the_code_of_the_failure(
    hub: FaultServer, run: Run, shipped: Path, arguments: str, code: int
) -> None:
    hub.plan = ["404"]
    process = start(shipped, *arguments.split())
    _, error = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Error: " in error
    assert b"Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["stall:100000", "silent"])
def test_a_signal_ends_a_download_at_once_and_keeps_what_arrived(
    hub: FaultServer, run: Run, shipped: Path, mode: str, number: int
) -> None:
    hub.plan = [mode]
    # A shell that runs a job in the background makes it ignore SIGINT; we do not inherit that.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(shipped, "download", "v3")
    finally:
        signal.signal(signal.SIGINT, before)
    assert hub.waiting.wait(30)
    folder = Path(os.environ["PARAKEET_COREML_MODELS_DIR"]) / STAGING / SMALL.folder
    if mode != "silent":
        while sum(path.stat().st_size for path in folder.glob("*.partial")) < 100_000:
            assert process.poll() is None
    process.send_signal(number)
    out, error = process.communicate(timeout=10)  # the limits would wait for a minute
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[signal.Signals(number)]
    assert b"run the same command again" in error
    assert b"Traceback" not in error
    assert out == b"" or lines(out.decode())
    hub.plan = ["ok"]
    hub.requests.clear()
    assert run("download", "v3").exit_code == 0
    assert [request.range for request in hub.asked()] == [
        "" if mode == "silent" else "bytes=100000-"
    ]


@pytest.mark.parametrize("command", ["download v3", "list", "list --json"])
@pytest.mark.parametrize("sink", ["closed", "full"])
def test_output_that_nobody_takes_ends_a_command_with_30(
    hub: FaultServer, run: Run, shipped: Path, command: str, sink: str
) -> None:
    if sink == "full":
        requires("/dev/full", present=Path("/dev/full").exists())
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
    process = start(shipped, *command.split(), stdout=writer)
    os.close(writer)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 30
    told = [line for line in error.decode().splitlines() if not line.startswith("Downloading ")]
    if (sink, command.split(maxsplit=1)[0]) == ("closed", "list"):
        assert told == [], "as of `| head`: whoever reads has enough"
    else:
        (line,) = told
        assert line.startswith("Error: cannot write to stdout: ")


def test_a_terminal_gets_a_bar_on_stderr_and_nothing_on_stdout(
    hub: FaultServer, run: Run, shipped: Path
) -> None:
    terminal, stderr = pty.openpty()
    process = start(shipped, "download", "v3", stderr=stderr)
    os.close(stderr)
    out, _ = process.communicate(timeout=30)
    shown = b""
    while select.select([terminal], [], [], 0)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
    os.close(terminal)
    assert (process.returncode, out) == (0, b"")
    assert b"v3 onnx 340 kB  [##############################]  100%" in shown
    assert b"is installed in" in shown.splitlines()[-1]

"""The frozen program beside the package it was made from, and without what it must not depend on.

`make app-test` runs this file; its name keeps it out of `make test`, which freezes nothing. The
host contract is tested on the same program by tests/host.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pulse import PulseServer
from support import requires

from parakeet_coreml import __version__

ROOT = Path(__file__).parent.parent.parent
PROGRAM = Path(os.environ.get("PARAKEET_BIN", ROOT / "dist/parakeet-coreml/parakeet-coreml"))
SAMPLE = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
TOY = ROOT / "tests" / "backends" / "fixtures" / "toy"

sys.path.insert(0, str(ROOT / "tests" / "backends"))
from tiny_onnx import write_pair  # noqa: E402  found by the line above

FROZEN = [str(PROGRAM)]
SOURCE = [sys.executable, "-P", "-m", "parakeet_coreml"]

SHADOWS = (
    *("_sounddevice", "click", "ctypes", "json", "logging", "numpy", "onnxruntime", "os"),
    *(
        "parakeet_coreml",
        "site",
        "sitecustomize",
        "sounddevice",
        "soxr",
        "threading",
        "usercustomize",
    ),
)

HOSTILE = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONINSPECT": "1",
    "PYTHONIOENCODING": "ascii",
    "PYTHONOPTIMIZE": "0",
    "PYTHONPROFILEIMPORTTIME": "1",
    "PYTHONUTF8": "0",
    "PYTHONVERBOSE": "1",
    "PYTHONWARNINGS": "error",
    "LC_ALL": "C",
}


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"windows": [{"text": "fix the login bug"}]}))
    return str(path)


def run(
    program: list[str], *arguments: str | Path, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    command = [*program, *map(str, arguments)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120, **options
    )


def record(program: list[str], script: str, **options: Any) -> list[dict[str, Any]]:
    """Return the lines of a recording of the sample, without the times that decoding took."""
    arguments = ("--input", SAMPLE, "--backend", "scripted", "--model", script)
    done = run(program, "progressive-record", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return [timeless(line) for line in done.stdout.splitlines()]


def timeless(line: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line)
    fields.pop("elapsed_ms", None)
    return fields


def test_it_says_the_version_of_the_package() -> None:
    done = run(FROZEN, "--version")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"parakeet-coreml {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "-h",
        "progressive-record -h",
        "devices -h",
        "models -h",
        "models list --json",
        "models download -h",
        "schema",
        "models path v3",
        "progressive-record --model v3 --backend onnx",
        "progressive-record --chunk-seconds 1",
        "nonsense",
    ],
)
def test_it_says_what_the_package_says(arguments: str, tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path), "COLUMNS": "80", "XDG_DATA_HOME": ""}
    frozen, source = (run(p, *arguments.split(), env=env) for p in (FROZEN, SOURCE))
    # The built-in model lies elsewhere, and only the package can have the forms of mlx.
    lines = [[li for li in as_named(d.stdout) if not own(li)] for d in (frozen, source)]
    assert (frozen.returncode, lines[0]) == (source.returncode, lines[1])
    assert as_named(frozen.stderr) == as_named(source.stderr)


def own(line: bytes) -> bool:
    """Return whether a row of `models list` is about what differs between the two."""
    return line.startswith(b"{") and (b"tiny-en" in line or b'"backend":"mlx"' in line)


def as_named(text: bytes) -> list[bytes]:
    """Return lines in which a program that is on no PATH goes by its name."""
    return text.replace(str(PROGRAM).encode(), b"parakeet-coreml").splitlines()


def test_it_completes_as_the_package_does() -> None:
    asked = {"COMP_WORDS": "parakeet-coreml progressive-record --m", "COMP_CWORD": "2"}
    env = {**os.environ, **asked, "_PARAKEET_COREML_COMPLETE": "bash_complete"}
    frozen, source = (run(program, env=env) for program in (FROZEN, SOURCE))
    assert (frozen.returncode, frozen.stderr) == (0, b"")
    assert b"plain,--model\n" in frozen.stdout
    assert frozen.stdout == source.stdout


def test_it_records_as_the_package_does(script: str) -> None:
    lines = record(FROZEN, script)
    assert lines[-1]["full_text"] == "fix the login bug"
    assert lines == record(SOURCE, script)


def test_it_ignores_what_is_meant_for_other_pythons_and_what_lies_around(
    script: str, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    startup = "raise SystemExit('somebody else ran: ' + __name__)\n"
    for name in SHADOWS:
        (here / f"{name}.py").write_text(startup)
    env = {**os.environ, **HOSTILE, "PYTHONPATH": str(here), "PYTHONSTARTUP": str(here / "os.py")}
    assert record(FROZEN, script, env=env, cwd=here) == record(FROZEN, script)


def test_it_needs_no_environment_at_all(script: str) -> None:
    assert record(FROZEN, script, env={}) == record(FROZEN, script)


def test_it_needs_no_folder_to_write_in(script: str) -> None:
    place = "/proc"  # where root, too, can make no file
    requires(place, present=Path(place, "self").exists())
    env = {"HOME": place, "TMPDIR": place, "XDG_DATA_HOME": place, "XDG_CACHE_HOME": place}
    assert record(FROZEN, script, env=env, cwd=place) == record(FROZEN, script)


def test_ctrl_c_while_pyinstaller_starts_is_no_traceback(tmp_path: Path) -> None:
    requires("strace", present=shutil.which("strace") is not None)
    calls, trace = tmp_path / "calls", ("strace", "-qq", "-e", "signal=none")
    run([*trace, "-o", str(calls), "-e", "trace=openat,rt_sigaction", *FROZEN], "--version")
    lines = calls.read_text().splitlines()
    pythons, ours = (
        next(i for i, line in enumerate(lines) if f"(SIGINT, {{sa_handler={handler}" in line)
        for handler in ("0x", "SIG_DFL")
    )
    opens = [line.startswith("openat") for line in lines]
    assert sum(opens[pythons:ours]) == 1  # for Python's own handler is left: our lines are read
    moments = range(sum(opens[:ours]) + 1, sum(opens) + 1)
    assert len(moments) > 5  # modules of PyInstaller, then ours
    for moment in moments:
        inject = ("-o", os.devnull, "-e", f"inject=openat:signal=SIGINT:when={moment}")
        done = run([*trace, *inject, *FROZEN], "--version")
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_a_state_that_another_frozen_program_left_in_the_environment_does_not_matter(
    script: str, tmp_path: Path
) -> None:
    env = {
        "_PYI_ARCHIVE_FILE": "/opt/other/program",
        "_PYI_APPLICATION_HOME_DIR": str(tmp_path),
        "_PYI_PARENT_PROCESS_LEVEL": "1",
        "_MEIPASS2": str(tmp_path),
    }
    assert record(FROZEN, script, env=env) == record(FROZEN, script)


def test_names_of_files_are_utf_8_whatever_the_locale(script: str, tmp_path: Path) -> None:
    sound = shutil.copy(SAMPLE, tmp_path / "日本語 ü.wav")
    done = run(
        FROZEN,
        *("progressive-record", "--input", sound, "--backend", "scripted", "--model", script),
        *("--events", "ready"),
        env={"LC_ALL": "C"},
    )
    assert json.loads(done.stdout.splitlines()[0])["device"]["name"] == str(sound)


def test_it_can_be_moved_has_room_for_spaces_and_may_be_a_link(script: str, tmp_path: Path) -> None:
    moved = tmp_path / "My App.app" / "Contents" / "Resources" / "parakeet"
    shutil.copytree(PROGRAM.parent, moved, symlinks=True)
    link = tmp_path / "link"
    link.symlink_to(moved / "parakeet-coreml")
    wanted = record(FROZEN, script)
    assert record([str(moved / "parakeet-coreml")], script) == wanted
    assert record([str(link)], script) == wanted


def test_a_run_leaves_its_folder_as_it_was(script: str) -> None:
    before = {path: path.lstat().st_mtime_ns for path in PROGRAM.parent.rglob("*")}
    record(FROZEN, script)
    assert {path: path.lstat().st_mtime_ns for path in PROGRAM.parent.rglob("*")} == before


@pytest.mark.parametrize("backend", ["onnx", "coreml"])
def test_it_decodes_as_the_package_does(backend: str, tmp_path: Path) -> None:
    model = TOY if backend == "coreml" else write_pair(tmp_path / "model")
    arguments = ("--input", SAMPLE, "--max-seconds", "8", "--backend", backend, "--model", model)
    both = [run(p, "progressive-record", *arguments, "--words") for p in (FROZEN, SOURCE)]
    assert both[0].returncode == 0, both[0].stderr
    lines = [[timeless(line) for line in done.stdout.splitlines()] for done in both]
    assert lines[0][-1]["full_text"]
    assert lines[0] == lines[1]


def test_with_a_microphone_every_library_is_the_bundles_or_the_systems_own(
    pulse: PulseServer, script: str
) -> None:
    requires("/proc", present=Path("/proc/self/maps").exists())  # psutil reads there what is mapped
    command = [*FROZEN, "progressive-record", "--backend", "scripted", "--model", script]
    with subprocess.Popen(
        [*command, "--events", "ready"],
        env=pulse.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [line.get("what") for line in lines] == ["capture", "model"], lines
        recorder = psutil.Process(process.pid)
        (worker,) = recorder.children()
        programs = [Path(each.exe()).resolve() for each in (recorder, worker)]
        mapped = libraries(recorder) | libraries(worker)
        process.send_signal(signal.SIGTERM)
    inside = PROGRAM.resolve().parent
    assert programs == [PROGRAM.resolve()] * 2
    ours = {path.name for path in mapped if path.is_relative_to(inside)}
    assert {"libportaudio.so.2"} <= ours
    strangers = [
        path
        for path in mapped
        if not path.is_relative_to(inside)
        and (
            not re.match(r"(/usr)?/lib(64)?/", str(path))
            or path.name.startswith(("libportaudio", "libpython", "libjack"))
        )
    ]
    assert not strangers
    assert not any(path.name.startswith("libasound.so") for path in map(Path, ours))


def libraries(process: psutil.Process) -> set[Path]:
    return {Path(each.path) for each in process.memory_maps() if ".so" in each.path}

"""What `doctor` says of a machine that is well, and of many that are not."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pulse import PulseServer
from recorder import command
from support import requires
from test_privacy import HARMLESS, OTHERS, TRACED, WRITES, of_a_user

from parakeet_coreml.backends import binding
from parakeet_coreml.backends.base import INSTALL
from parakeet_coreml.backends.registry import RUNTIMES
from parakeet_coreml.checks import doctor, probes, report
from parakeet_coreml.checks.report import Cache
from parakeet_coreml.errors import ModelUnusableError
from parakeet_coreml.selection import ModelSelection
from parakeet_coreml.store import locate, manifest
from parakeet_coreml.store.files import sha256
from parakeet_coreml.store.manifest import MARKER, Manifest

pytest_plugins = ("host_fixtures",)

LIMIT = 120.0
"""Seconds in which any answer comes, on a very busy machine."""

KEYS = (
    *("schema", "exit_code", "version", "python", "system", "libraries", "selected", "backends"),
    *("compute_units", "devices", "models", "paths", "caches", "environment", "problems"),
)

TINY = ("--model", "tiny-en", "--backend", "onnx")

Found = dict[str, Any]


def ask(
    *arguments: str | Path, env: Mapping[str, str] = os.environ, code: int, python: bool = False
) -> Found:
    """Run `doctor --json` and return its object; nothing may look like an accident."""
    line = command("doctor", "--json", *arguments)
    if python:  # what breaks it reaches no frozen program
        line = [sys.executable, "-P", "-m", "parakeet_coreml", *line[line.index("doctor") :]]
    done = subprocess.run(line, env=env, capture_output=True, timeout=LIMIT, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert tuple(found) == KEYS
    assert found["exit_code"] == code
    return dict(found)


def broken(folder: Path, code: str) -> dict[str, str]:
    """Return an environment in which every Python runs `code` first."""
    (folder / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(folder)}


# As a host runs it


def test_a_machine_with_a_microphone_and_a_model_is_well(room_env: dict[str, str]) -> None:
    found = ask(*TINY, "--verify", env=room_env, code=0)
    assert found["problems"] == []
    assert [device["rate"] for device in found["devices"] if device["is_default"]] == [44_100.0]
    (onnx,) = [row for row in found["backends"] if row["name"] == "onnx"]
    assert (onnx["chosen"], onnx["runs"]) == (True, True)
    assert onnx["runtime"] == f"onnxruntime {found['libraries']['onnxruntime']}"
    (model,) = [row for row in found["models"] if row["chosen"]]
    assert (model["name"], model["state"], model["verified"]) == ("tiny-en", "built in", True)
    assert "vocab.txt" in {file["path"] for file in model["files"]}


def test_options_come_from_the_environment_and_passwords_do_not_go_out(
    room_env: dict[str, str],
) -> None:
    own = {
        "PARAKEET_COREML_MODEL": "tiny-en",
        "PARAKEET_COREML_BACKEND": "onnx",
        "PARAKEET_COREML_DEVICE": "nosuch",
        "PARAKEET_COREML_MIRROR": "https://me:secret@mirror.example/x",
    }
    found = ask(env=room_env | own, code=10)
    assert found["selected"]["model"] == "tiny-en"
    assert "nosuch" in found["problems"][0]["message"]
    assert found["environment"]["PARAKEET_COREML_MIRROR"] == "https://***@mirror.example/x"


def test_a_sound_server_that_hangs_is_told_in_time(pulse: PulseServer) -> None:
    pulse.signal(signal.SIGSTOP)
    found = ask(*TINY, env=pulse.env, code=10)
    assert "did not answer within 5 s" in found["problems"][0]["message"]


def test_people_read_the_verdict_and_the_command_that_cures(tmp_path: Path) -> None:
    line = command("doctor", "--backend", "onnx", "--models-dir", tmp_path)
    done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 20
    # Where the program is not on PATH, the cure names it as it was called.
    cure = f"parakeet-coreml models download v3 --backend onnx --models-dir {tmp_path}"
    assert [text for text in done.stdout.splitlines() if text.endswith(cure)]
    assert "  docs/TROUBLESHOOTING.md: Model missing" in done.stdout.splitlines()
    assert done.stdout.endswith("A recording with v3 on onnx would end with exit code 20.\n")


# Broken machines

ABSENT = """
import sys
for name in {names}:
    sys.modules[name] = None
"""

NO_PORTAUDIO = """
import ctypes.util
ctypes.util.find_library = lambda name: None
"""

CRASHING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "sounddevice"):
            os.kill(os.getpid(), signal.SIGSEGV)
sys.meta_path.insert(0, Finder())
"""

NO_HOME = """
import pwd
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
"""


def test_without_portaudio_the_cure_is_named(tmp_path: Path) -> None:
    found = ask(*TINY, env=broken(tmp_path, NO_PORTAUDIO), code=10, python=True)
    (problem,) = found["problems"]
    assert "PortAudio" in problem["message"]
    assert "libportaudio2" in problem["cure"]


def test_it_opens_no_internet_socket_and_writes_no_file(tmp_path: Path) -> None:
    requires("strace", present=shutil.which("strace") is not None)
    log, home = tmp_path / "strace.log", tmp_path / "home"
    traced = ["strace", "-f", "-qq", "-s", "256", "-o", str(log), "-e", TRACED]
    # The libraries behind PortAudio have their own ways: JACK's leaves files in /dev/shm.
    silent = {"PYTHONPATH": broken(tmp_path, NO_PORTAUDIO)["PYTHONPATH"]}
    done = subprocess.run(
        [*traced, sys.executable, "-P", "-m", "parakeet_coreml", "doctor", "--json", *TINY],
        env=of_a_user(os.environ) | silent | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    if b"ptrace" in done.stderr.lower():
        requires("permission to trace", present=False)
    assert all(row["runs"] for row in json.loads(done.stdout)["backends"] if row["chosen"])
    calls = log.read_text().splitlines()
    assert any("onnxruntime" in call for call in calls), "the trace holds nothing"
    assert [call for call in calls if "AF_INET" in call] == []
    written = [path for call in calls for path in WRITES.findall(call)]
    assert [path for path in written if not HARMLESS.fullmatch(path)] == []
    assert [call for call in calls if OTHERS.search(call)] == []
    assert not home.exists()


def test_absent_runtimes_do_not_run_and_say_what_to_install(tmp_path: Path) -> None:
    names = ["onnxruntime", "mlx", "sounddevice", "coremltools"]
    env = broken(tmp_path, ABSENT.format(names=names))
    found = ask(*TINY, env=env, code=10, python=True)
    rows = {row["name"]: row for row in found["backends"]}
    assert not rows["onnx"]["runs"]
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    assert rows["onnx"]["cure"].startswith(f"{pip} 'onnxruntime")
    assert not rows["mlx"]["runs"]
    assert rows["mlx"]["cure"] == f"{pip} 'parakeet-coreml[mlx]'"
    assert {problem["exit_code"] for problem in found["problems"]} == {10, 22}


@pytest.mark.parametrize("backend", ["onnx", "mlx"])
def test_an_absent_runtime_is_named_not_what_it_would_have_imported(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    package = RUNTIMES[backend]
    with pytest.raises(ModelUnusableError, match=f"the package {package} is absent"):
        probes.runtime_of(backend)


def test_the_frozen_program_is_not_told_to_use_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    assert report.runnable(INSTALL["mlx"]).endswith(f" -m {INSTALL['mlx']}")
    assert report.runnable("connect one") == "connect one"
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "pip" not in report.runnable(INSTALL["mlx"])


def test_libraries_that_crash_do_not_take_it_with_them(tmp_path: Path) -> None:
    found = ask(*TINY, env=broken(tmp_path, CRASHING), code=10, python=True)
    assert len(found["problems"]) == 2
    assert all("crashed" in problem["message"] for problem in found["problems"])


def test_without_a_home_the_built_in_model_still_records(
    tmp_path: Path, room_env: dict[str, str]
) -> None:
    ours = {"PYTHONPATH": broken(tmp_path, NO_HOME)["PYTHONPATH"], "XDG_DATA_HOME": ""}
    microphone = {"ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{room_env['HOME']}/.asoundrc"}
    env = room_env | ours | microphone | {"HOME": ""}
    found = ask(*TINY, env=env, code=0, python=True)
    assert [(p["code"], p["blocking"]) for p in found["problems"]] == [("storage", False)]
    assert found["paths"]["models_dir"] is None
    assert {row["state"] for row in found["models"]} == {"built in", "unreadable"}


# In this process, with what the probes would say

WELL: dict[str, Found] = {
    "devices": {
        "devices": [
            {
                "index": 0,
                "name": "Desk",
                "host_api": "ALSA",
                "channels": 1,
                "rate": 48_000.0,
                "is_default": True,
            }
        ]
    },
    "coreml": {"runtime": "reference"},
    "onnx": {"runtime": "onnxruntime 9"},
    "mlx": {"failed": {"message": "it is absent", "cure": "get it"}},
}

Probed = Callable[..., None]


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Probed:
    """Give a function that says what the probes answer, where it is not well."""

    def answers(**other: Found) -> None:
        probes = type("Probes", (), {"answers": lambda self: WELL | other})
        monkeypatch.setattr(doctor, "Probes", probes)

    answers()
    return answers


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Ship a small model as v3 for onnx, installed in `tmp_path`."""
    content = b"0123456789"
    files = [{"path": "vocab.txt", "size": 10, "sha256": sha256(_file(tmp_path))}]
    text = json.dumps(
        json.loads(manifest.shipped("v3", "onnx").text) | {"files": files, "bytes": 10}
    )
    made = manifest.parse_manifest(text)
    monkeypatch.setattr(doctor, "published", lambda: [made])
    monkeypatch.setattr(locate, "shipped", lambda *_: made)
    folder = tmp_path / made.folder
    folder.mkdir()
    (folder / "vocab.txt").write_bytes(content)
    (folder / MARKER).write_text(text)
    return made


def _file(folder: Path) -> Path:
    path = folder / "content"
    path.write_bytes(b"0123456789")
    return path


def examine(tmp_path: Path, *devices: str, **more: Any) -> report.Report:
    return doctor.examine(ModelSelection("v3", str(tmp_path), "onnx"), devices, **more)


def test_an_installed_model_is_well(probed: Probed, small: Manifest, tmp_path: Path) -> None:
    report = examine(tmp_path, verify=True)
    (row,) = [row for row in report.models if row.chosen]
    assert (report.exit_code, row.state, row.verified) == (0, "installed", True)
    assert row.done_bytes == 10
    assert report.to_text().endswith("A recording with v3 on onnx would work.")


def test_a_wrong_hash_is_seen_only_when_asked_for(
    probed: Probed, small: Manifest, tmp_path: Path
) -> None:
    (tmp_path / small.folder / "vocab.txt").write_bytes(b"0123456780")
    assert examine(tmp_path).exit_code == 0
    report = examine(tmp_path, verify=True)
    assert report.exit_code == 21
    (problem,) = report.problems
    assert "vocab.txt" in problem.message
    assert problem.cure == locate.download_command(small, tmp_path)
    assert "HASHES DIFFER" in report.to_text()


def test_a_short_file_is_seen_at_once(probed: Probed, small: Manifest, tmp_path: Path) -> None:
    (tmp_path / small.folder / "vocab.txt").write_bytes(b"")
    report = examine(tmp_path)
    assert (report.exit_code, [row.state for row in report.models if row.chosen]) == (
        21,
        ["damaged"],
    )


def test_another_damaged_model_does_not_block(
    probed: Probed, small: Manifest, tmp_path: Path
) -> None:
    (tmp_path / small.folder / "vocab.txt").write_bytes(b"")
    report = doctor.examine(ModelSelection("tiny-en", str(tmp_path), "onnx"), ())
    assert report.exit_code == 0
    assert [(p.code, p.blocking) for p in report.problems] == [("model_corrupt", False)]


def test_a_models_folder_that_cannot_be_read_is_told(probed: Probed, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)  # permissions do not bind root
    report = examine(loop)
    assert report.exit_code == 31
    assert {row.state for row in report.models} == {"built in", "unreadable"}


def test_a_folder_of_ones_own_is_a_model(probed: Probed, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(locate.BUILT_IN_DIRECTORY, folder)
    (folder / "vocab.txt").write_text("x")
    choice = ModelSelection(str(folder), str(tmp_path), "onnx")
    (row,) = [row for row in doctor.examine(choice, ()).models if row.chosen]
    assert (row.name, row.state) == ("mine", "folder")
    report = doctor.examine(choice, (), verify=True)
    assert report.exit_code == 21


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (ModelSelection("v9", None, "onnx"), 2),
        (ModelSelection("110m", None, "onnx"), 2),
        (ModelSelection("/no/such/folder", None, "onnx"), 20),
    ],
)
def test_the_exit_code_is_that_of_the_recording(
    choice: ModelSelection, code: int, probed: Probed
) -> None:
    assert doctor.examine(choice, ()).exit_code == code


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"devices": {"failed": {"message": "it crashed: Aborted", "cure": ""}}}, 10),
        ({"devices": {"devices": []}}, 10),
        ({"devices": {"nonsense": 1}}, 10),
        ({"onnx": {"failed": {"message": "it crashed: Illegal instruction", "cure": ""}}}, 22),
        ({"onnx": {"nonsense": 1}}, 22),
        ({"mlx": {"nonsense": 1}}, 0),
    ],
)
def test_what_the_probes_say_decides(
    answers: Found, code: int, probed: Probed, small: Manifest, tmp_path: Path
) -> None:
    probed(**answers)
    report = examine(tmp_path)
    assert report.exit_code == code
    assert json.dumps(report.to_json(), allow_nan=False)
    assert report.to_text()


@pytest.mark.parametrize("rate", [float("nan"), 0.0, 7.0])
def test_a_microphone_of_an_impossible_rate_would_not_do(
    rate: float, probed: Probed, small: Manifest, tmp_path: Path
) -> None:
    device = WELL["devices"]["devices"][0] | {"rate": rate, "name": "Desk\x1b[31m"}
    probed(devices={"devices": [device]})
    report = examine(tmp_path)
    assert report.exit_code == 10
    assert json.dumps(report.to_json(), allow_nan=False)
    assert re.search(r"[\x00-\x09\x0b-\x1f]", report.to_text()) is None


def test_a_microphone_that_is_not_there_is_told(
    probed: Probed, small: Manifest, tmp_path: Path
) -> None:
    assert examine(tmp_path, "desk").exit_code == 0
    assert examine(tmp_path, "Kitchen").exit_code == 10


def test_of_several_microphones_the_first_that_is_there_would_record(
    probed: Probed, small: Manifest, tmp_path: Path
) -> None:
    name = WELL["devices"]["devices"][0]["name"]
    found = examine(tmp_path, "Kitchen", "desk", "Hall")
    assert (found.exit_code, found.selected.device) == (0, name)
    (problem,) = found.problems
    assert (problem.blocking, "'Kitchen'" in problem.message) == (False, True)
    assert examine(tmp_path, "desk").selected.device == "desk"
    assert examine(tmp_path, "Kitchen", "Hall").exit_code == 10


def test_a_probe_that_cannot_start_or_does_not_end_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    answers = probes.Probes().answers()
    assert all("could be started" in str(answer["failed"]) for answer in answers.values())
    script = tmp_path / "stuck"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(probes, "PATIENCE", 0.2)
    answers = probes.Probes().answers()
    assert all("no answer within" in str(answer["failed"]) for answer in answers.values())


def test_an_absent_package_that_every_recording_needs_is_told(
    probed: Probed, small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("numpy", "no_such_package"))
    report = examine(tmp_path)
    assert (report.exit_code, len(report.problems)) == (1, 1)
    assert "no_such_package" in report.problems[0].message
    assert report.libraries["numpy"] is not None


# A Mac, as far as it can be played


def test_a_mac_shows_its_units_and_where_core_ml_keeps_what_it_compiled(
    probed: Probed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("HOME", str(tmp_path))
    kept = tmp_path / "Library/Caches/parakeet-coreml/com.apple.e5rt.e5bundlecache"
    kept.mkdir(parents=True)
    (kept / "H13G.e5").write_bytes(bytes(7))
    probed(coreml={"runtime": "coreml"})
    report = doctor.examine(ModelSelection("tiny-en", str(tmp_path), "coreml", "all"), ())
    assert Cache("Core ML's compiled models", str(kept), 7) in report.caches
    assert (report.compute_units.used, report.compute_units.selected) == (True, "all")
    assert "  compute units: all" in report.to_text().splitlines()


def test_a_mac_without_coremltools_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binding, "runtime", lambda: "coreml")
    with pytest.raises(ModelUnusableError) as caught:
        probes.runtime_of("coreml")
    assert caught.value.hint == INSTALL["coreml"]

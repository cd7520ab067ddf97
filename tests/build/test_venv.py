"""`make run` on machines as they are: which Python, without venv, after a try that failed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "build" / "venv.sh"
PLAIN = ("bash", "env", "tail", "uname", "sh", "rm")
"""All that the script takes from the machine besides a Python."""

FAKE = """\
#!/bin/sh
case "$1" in -c) code=$2 ;; *) exec {python} "$@" ;; esac
exec {python} -c "import sys
{first}
exec(sys.argv[1])" "$code"
"""


def python(folder: Path, name: str, first: str = "") -> None:
    """Put an interpreter there, of which `first` makes something else."""
    path = folder / name
    path.write_text(FAKE.format(python=sys.executable, first=first))
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Give a PATH without any Python."""
    folder = tmp_path / "path"
    folder.mkdir()
    for name in PLAIN:
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def run(machine: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(machine / "bash"), SCRIPT, *arguments],
        # No index: what gets as far as pip ends there.
        env={"PATH": str(machine), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python_is_told_with_how_to_get_one(machine: Path, tmp_path: Path) -> None:
    done = run(machine, tmp_path / ".venv", ".")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: Python 3.11, 3.12 or 3.13 is needed; no python3 is here\n"
    )
    assert "python3.13" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("version", ["(3, 10, 12)", "(3, 14, 2)"])
def test_a_python_too_old_or_too_new_is_told(machine: Path, tmp_path: Path, version: str) -> None:
    python(machine, "python3", f"sys.version_info = {version}")
    done = run(machine, tmp_path / ".venv", ".")
    assert done.returncode == 1
    assert f"python3 is {version[1:-1].replace(', ', '.')}\n" in done.stderr
    assert "make run PYTHON=" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_python_that_fits_is_found(machine: Path, tmp_path: Path) -> None:
    python(machine, "python3", "sys.version_info = (3, 14, 2)")
    python(machine, "python3.12")
    done = run(machine, tmp_path / ".venv", ".")
    assert f"Making {tmp_path / '.venv'} with Python" in done.stderr


def test_the_python_that_is_named_is_the_one(machine: Path, tmp_path: Path) -> None:
    python(machine, "python3")
    python(machine, "mine", "sys.version_info = (3, 9, 1)")
    done = run(machine, tmp_path / ".venv", ".", PYTHON="mine")
    assert done.returncode == 1
    assert "mine is 3.9.1" in done.stderr
    done = run(machine, tmp_path / ".venv", ".", PYTHON="absent")
    assert "there is no program 'absent'" in done.stderr


def test_a_python_without_venv_is_told_with_the_package(machine: Path, tmp_path: Path) -> None:
    python(machine, "python3", "sys.modules['ensurepip'] = None")
    done = run(machine, tmp_path / ".venv", ".")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Error: python3 has no venv module"
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_what_a_failed_try_left_is_made_again(machine: Path, tmp_path: Path) -> None:
    python(machine, "python3")
    place = tmp_path / ".venv"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to("/nowhere/python3.9")
    (place / ".run").touch()
    assert run(machine, "--whole", place).stdout == ""
    first = run(machine, place, ".")
    assert "Making" in first.stderr
    assert not (place / ".run").exists()
    # pip had nothing to fetch from: that is told, and the environment itself is no reason again.
    assert first.returncode == 1
    assert "HTTPS_PROXY" in first.stderr
    assert run(machine, "--whole", place).stdout == "yes\n"
    assert "Making" not in run(machine, place, ".").stderr


def test_make_asks_for_an_environment_again_that_is_not_whole() -> None:
    def steps(folder: Path) -> str:
        done = subprocess.run(
            ["make", "--dry-run", "run", f"VENV={folder}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert "build/venv.sh" in steps(Path("/nowhere/.venv"))


def test_help_names_every_target_and_the_choice_of_python() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("run", "test", "check", "app", "dist"):
        assert f"make {target} " in done.stdout
    assert "PYTHON=" in done.stdout

"""The wheel, built from the sdist as a user's tools do it: complete, and enough by itself."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "parakeet_coreml"


def build(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; without a network."""
    command: list[str | Path] = [sys.executable, "-P", "-m", "build", "--no-isolation"]
    command += ["--outdir", folder, source]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> zipfile.ZipFile:
    return zipfile.ZipFile(built[1])


def in_package() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile) -> None:
    pages = {name for name in wheel.namelist() if ".data/data/share/" in name}
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names - pages == in_package()
    assert {name.partition(".data/data/")[2] for name in pages} == {
        "share/man/man1/parakeet-coreml.1",
        "share/bash-completion/completions/parakeet-coreml",
        "share/zsh/site-functions/_parakeet-coreml",
        "share/fish/vendor_completions.d/parakeet-coreml.fish",
    }


ALONE = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[3:]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
runpy.run_path(sys.argv[2], run_name="__main__")
"""


def test_the_pages_are_made_with_what_a_build_brings(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    brought = {re.split(r"[<>=]", name)[0] for name in hook["dependencies"]}
    names = {re.split(r"[<>=]", name)[0] for name in project["project"]["dependencies"]}
    command: list[str | Path] = [
        sys.executable,
        "-c",
        ALONE,
        tmp_path,
        ROOT / "build" / "commands.py",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, *sorted(names - brought)], check=True, env=env, capture_output=True)
    assert (tmp_path / "share" / "man" / "man1" / "parakeet-coreml.1").is_file()


def test_what_is_not_python_is_in_it_whole(wheel: zipfile.ZipFile) -> None:
    data = [path for path in in_package() if not path.endswith(".py")]
    for name in ("manifests/v3-coreml.json", "samples/speech.wav", "py.typed"):
        assert f"parakeet_coreml/{name}" in data
    for path in data:
        assert wheel.read(path) == (ROOT / path).read_bytes(), path


def test_the_wheel_is_for_any_machine_and_names_its_command_and_licence(
    wheel: zipfile.ZipFile,
) -> None:
    about = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
    assert b"parakeet-coreml = parakeet_coreml.__main__:main" in wheel.read(
        about["entry_points.txt"]
    )
    assert wheel.read(about["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert b"Tag: py3-none-any" in wheel.read(about["WHEEL"])


def test_the_sdist_has_what_builds_and_tests_it_and_nothing_that_was_made(
    built: tuple[Path, Path],
) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "Makefile", "build/parakeet-coreml.spec"}
    assert wanted | {"tests/build/test_package.py"} | in_package() <= names
    made = ("dist/", ".venv", ".work", ".git/", "node_modules/")
    assert not [name for name in names if name.startswith(made) or "__pycache__" in name]


def test_the_same_source_gives_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    place = tmp_path / "source"
    place.mkdir()
    subprocess.run(["tar", "-xzf", built[0], "-C", place], check=True)
    (source,) = place.iterdir()
    again = build(source, tmp_path / "dist")
    assert [digest(path) for path in again] == [digest(path) for path in built]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_wheel_records_with_nothing_of_the_source_tree(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    place = tmp_path / "site"
    wheel.extractall(place)  # noqa: S202  our own
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"windows": [{"text": "fix the login bug"}]}))
    sample = place / "parakeet_coreml" / "samples" / "speech.wav"
    arguments = ("--backend", "scripted", "--model", script, "--input", sample)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "parakeet_coreml", "progressive-record", *arguments],
        env={**os.environ, "PYTHONPATH": str(place)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["full_text"] == "fix the login bug"


def test_the_tests_of_the_sdist_are_found_and_can_be_imported(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]

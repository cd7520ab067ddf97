"""Version, changelog, tag and workflows go together."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import requires

from parakeet_coreml import __version__

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

sys.path.insert(0, str(ROOT / "build"))
from release import notes, version_of  # noqa: E402  found by the line above

CHANGELOG = """
## [Unreleased]

- later

## [1.2.3] - 2026-11-27

### Added

- a thing

## [1.2.2] - 2026-11-01

- before
"""


def test_the_notes_are_one_versions_section() -> None:
    assert notes(CHANGELOG, "1.2.3") == "### Added\n\n- a thing"
    assert notes(CHANGELOG, "1.2.2") == "- before"


@pytest.mark.parametrize("version", ["1.2.4", "1.2", "Unreleased"])
def test_a_version_without_a_dated_section_is_no_release(version: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(version)):
        notes(CHANGELOG, version)


def test_a_tag_that_is_not_the_version_is_no_release() -> None:
    command: list[str | Path] = [sys.executable, ROOT / "build" / "release.py", "v9.9.9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"Error: the tag is v9.9.9, the version is {__version__}\n"


def test_the_version_is_one_everywhere() -> None:
    source = (ROOT / "parakeet_coreml" / "__init__.py").read_text(encoding="utf-8")
    package = ROOT / "examples" / "node-client" / "package.json"
    assert version_of(source) == __version__
    assert json.loads(package.read_text(encoding="utf-8"))["version"] == __version__


def test_the_changelog_says_what_this_version_is_and_has_a_place_for_the_next() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert heads[:2] == ["Unreleased", __version__]
    done = subprocess.run(
        [sys.executable, ROOT / "build" / "release.py", f"v{__version__}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == notes(changelog, __version__) + "\n"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_digest_and_say_which_version_that_is(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_may_write_but_where_it_says_so(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)
    assert workflow.stem == "release" or "write" not in text


def test_a_release_is_built_checked_attested_and_published_without_a_secret() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    for step in (
        *("build/release.py", "make dist", ".ci/run", "make app app-test", "sha256sum"),
        *("attest-build-provenance", "gh release create", "gh-action-pypi-publish"),
    ):
        assert step in text, step
    assert "secrets." not in text


def test_the_sums_of_a_release_name_every_file_and_not_themselves(tmp_path: Path) -> None:
    requires("sha256sum", present=shutil.which("sha256sum") is not None)
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    (step,) = re.findall(r"- run: (mv files/.*sha256sum.*)$", text, re.MULTILINE)
    (tmp_path / "files").mkdir()
    for name in ("a.whl", "b.tar.gz", "notes.md"):
        (tmp_path / "files" / name).write_text(name, encoding="utf-8")
    subprocess.run(["bash", "-ec", step], cwd=tmp_path, check=True)
    sums = (tmp_path / "files" / "SHA256SUMS").read_text(encoding="utf-8")
    assert [line.split()[1] for line in sums.splitlines()] == ["a.whl", "b.tar.gz"]
    assert sums.startswith(hashlib.sha256(b"a.whl").hexdigest())
    assert (tmp_path / "notes.md").exists()

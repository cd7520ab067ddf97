"""`make as-mac`: what only Linux has is hidden, and the tests that ask for it skip in words."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

HIDDEN = """
import fcntl, shutil, sys
from pathlib import Path
sys.path.insert(0, "tests")
import support
print(bool(shutil.which("sh")), Path("Makefile").is_file())
support.hide_linux()
print(bool(shutil.which("sh")), Path("Makefile").is_file())
print([tool for tool in ("pulseaudio", "pactl", "strace", "setpriv") if shutil.which(tool)])
print([place for place in ("/proc/self", "/proc/self/status") if Path(place).exists()])
print(hasattr(fcntl, "F_SETPIPE_SZ"))
"""


def environment() -> dict[str, str]:
    env = {**os.environ, "PARAKEET_AS_MAC": "1"}
    env.pop("PARAKEET_REQUIRE_ALL", None)  # which makes a failure of what would be skipped
    return env


def test_what_only_linux_has_is_hidden_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["True True", "True True", "[]", "[]", "False"]


def test_tests_that_ask_for_pulseaudio_skip_and_name_its_packages() -> None:
    asking = ROOT / "tests" / "audio" / "test_microphone.py"
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        str(asking),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ skipped in ", done.stdout, re.MULTILINE), done.stdout
    assert "PulseAudio is absent; on Debian: apt install pulseaudio" in done.stdout


def test_the_make_target_hides_it_for_every_folder() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^as-mac:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert "PARAKEET_AS_MAC=1" in recipe
    assert "$(COVERED)" in recipe

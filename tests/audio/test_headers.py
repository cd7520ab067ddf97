"""The first of the garbled headers of `make torture`, in forked children."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "torture" / "headers.py"


def test_no_garbled_header_of_any_format_hangs_or_crashes(tmp_path: Path) -> None:
    command = [sys.executable, "-P", str(SCRIPT), "--cases", "1500", "--seconds", "120"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"1500 headers" in done.stdout

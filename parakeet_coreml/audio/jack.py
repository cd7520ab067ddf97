"""JACK's table in shared memory, in which PortAudio waits for ever once it was left locked. Linux.

PortAudio asks for a JACK server at each start, and JACK opens a Berkeley DB for that, whether the
server runs or not (JackMetadata::PropertyInit). A program that ends meanwhile leaves its locks
behind, and whoever starts PortAudio afterwards waits for them, until the machine is restarted. Only
the server removes the table, as it ends (JackMetadata::~JackMetadata).
"""

import os
import re
import shutil
from pathlib import Path

SHARED = Path("/dev/shm")  # noqa: S108  that is where JACK keeps it


def unlock(shared: Path = SHARED, maps: Path = Path("/proc/self/maps")) -> str:
    """Remove the table if this process hangs in it; return a message for the user, or nothing.

    The table is in a process's memory only while it is being opened. It stays where a server may
    use it.
    """
    try:
        found = re.findall(rf" ({shared}/jack_db(?:-\d+)?)([/.].*)", maps.read_text())
    except OSError:
        return ""
    if not found:
        return ""
    table = Path(found[0][0])  # early versions have one for all users
    locked = f"a program that was killed had left {table} locked"
    if any(shared.glob(f"jack_*_{os.geteuid()}_*")):  # the socket of a server
        return f"restart the JACK server: {locked}"
    # Whoever else hangs here may have removed it, and what bears its name by now is a new one.
    if any(file.startswith("/") and not file.endswith("(deleted)") for _, file in found):
        aside = table.with_name(f"{table.name}.{os.getpid()}")
        try:
            table.rename(aside)  # who starts just now finds all of it or nothing
        except OSError:
            return f"remove {table}: {locked}"
        shutil.rmtree(aside, ignore_errors=True)
    return f"start again: {locked}, which is mended now"

"""What the system allows this process: asked for and set before anything is begun."""

import os
import resource

from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.lastwords import ENDS

LEAST = 256 << 20
"""Bytes of address space that a recorder takes, libraries, stacks and malloc's arenas included.

With less some library ends the process by itself, OpenBLAS among them, and nobody is told."""


def prepare() -> None:
    """Keep a crash of ours or of the worker from writing the recording to disk, and threads few."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    # Of OpenBLAS, which the recorder has no use for: each takes 32 MB and counts as a thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def check_memory() -> None:
    """Raise `ParakeetError` where the address space is limited to less than a recorder takes."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST:
        what, hint = ENDS["memory"]
        more = f"the address space is limited to {limit >> 20} MB (`ulimit -v`)"
        raise ParakeetError(f"{what}: {more}", f"allow 1,000 MB; {hint}")

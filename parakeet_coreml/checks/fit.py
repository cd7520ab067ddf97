"""Whether a model is for this machine: a runtime for it, and room for it in memory."""

import os
import sys
from importlib.util import find_spec

from parakeet_coreml.backends.registry import ENTRIES


def misfit(backend: str, size: int, *, published: bool) -> str:
    """Return why a model of `size` bytes would not run here; empty if nothing speaks against it.

    `published` are Core ML models in their compiled form, which only a Mac takes. Nothing is
    loaded, so a runtime that is there but broken is not found out: that is `doctor`.
    """
    entry = ENTRIES[backend]
    apple = sys.platform == "darwin" and os.uname().machine == "arm64"
    if backend == "coreml" and published and not apple:
        return "it needs a Mac with Apple silicon"
    lacking = backend != "coreml" or apple  # elsewhere our own evaluator reads packages
    if lacking and find_spec(entry.package) is None:
        return f"the package {entry.package} is absent: {entry.install}"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 0 < memory < size:
        return f"it is larger than this machine's {memory / 1e9:.1f} GB of memory"
    return ""

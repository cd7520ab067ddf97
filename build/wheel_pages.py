"""Hatchling's hook: the wheel brings the man page and the completions, made as it is built."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Pages(BuildHookInterface[Any]):
    """Puts `share/…` below the prefix that the wheel is installed into."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages into a folder of their own and name them; an editable one has none."""
        if version == "editable":
            return
        sys.path[:0] = [self.root, str(Path(self.root, "build"))]
        try:
            from commands import pages  # noqa: PLC0415  beside this file, which is no package
        finally:
            del sys.path[:2]
        self._folder = tempfile.TemporaryDirectory()
        for path, text in pages().items():
            target = Path(self._folder.name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(target)] = path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  the interface's
        """Remove the folder."""
        if version != "editable":
            self._folder.cleanup()

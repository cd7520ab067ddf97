"""The folder of a bench: its plan, and a row for every run, written as it ends."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parakeet_coreml.errors import StorageError, UsageError

PLAN, RUNS = "plan.json", "runs.jsonl"

Row = dict[str, Any]


@dataclass(slots=True)
class Results:
    """What a bench has found so far."""

    folder: Path
    plan: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """Runs that need not be made again."""
        return {str(row["key"]) for row in self.rows}

    @property
    def measured(self) -> list[Row]:
        """Runs that count: no warm-ups."""
        return [row for row in self.rows if row["warmup"] is None]

    def add(self, row: Row) -> None:
        """Keep a row: whole on the disk before the next run begins. Raises `StorageError`."""
        try:
            with (self.folder / RUNS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write to '{self.folder}': {error.strerror}") from error
        self.rows.append(row)


def begin(folder: Path, plan: Mapping[str, Any]) -> Results:
    """Return the results in a folder, of an interrupted bench with the same plan or of a new one.

    What `plan` has under `what` must be the same for it to go on. Raises `UsageError` for another
    bench's folder, `StorageError` where it cannot be written.
    """
    path = folder / PLAN
    if path.exists():
        found = load(folder)
        if found.plan.get("what") != json.loads(json.dumps(plan["what"])):
            raise UsageError(
                f"'{folder}' holds a bench of other recordings or options",
                "give --out another folder, or the same options to go on with it",
            )
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write to '{folder}': {error.strerror}") from error
    return Results(folder, plan)


def load(folder: Path) -> Results:
    """Return the results in a folder; a last line that was cut off is cut away.

    Raises `UsageError` if there are none.
    """
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        path = folder / RUNS
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise UsageError(f"'{folder}' is no folder of a bench", "it has no plan.json") from error
    whole, _, rest = text.rpartition("\n")
    if rest:  # the power went while it was written
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    try:
        rows = [json.loads(line) for line in whole.splitlines() if line]
    except ValueError as error:
        raise UsageError(
            f"'{path}' is damaged: {error}", "remove it, or its broken line"
        ) from error
    return Results(folder, plan, rows)

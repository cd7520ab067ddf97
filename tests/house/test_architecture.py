"""Who may import whom, and the manners of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import parakeet_coreml

ROOT = Path(parakeet_coreml.__file__).parent
PACKAGE = "parakeet_coreml"

ROOMS = (
    "__init__ errors lastwords threads timing",
    "host",
    "audio",
    "store",
    "backends",
    "recognition",
    "selection",
    "protocol",
    "checks",
    "recording",
    "dictation",
    "bench",
    "cli",
    "__main__",
)
"""From the bottom up: a room imports itself and rooms below it; a line's modules are beside."""

INNER = {"backends": ("base", "languages", "transducer", "reference", "*", "registry", "worker")}
"""Rooms in a room, from the bottom up; `*` is whatever has no place of its own."""

OPENED_BY_NAME = {"backends.coreml", "backends.mlx", "backends.onnx", "backends.scripted"}
"""The registry opens these inside a function."""

SOLE_IMPORTERS = {
    "soxr": {"audio.resample"},
    "sounddevice": {"audio.portaudio"},
    "soundfile": {"audio.decoder"},
    "onnxruntime": {"backends.graphs"},
    "coremltools": {"backends.binding", "backends.coreml"},
    "mlx": {"backends.mlx"},
    "parakeet_mlx": {"backends.mlx"},
    "urllib3": {"store.connect", "store.http"},
    "jinja2": {"bench.report"},
    "jiwer": {"bench.scoring"},
    "matplotlib": {"bench.pictures"},
    "psutil": {"bench.machine"},
    "whisper_normalizer": {"bench.scoring"},
}

PURE = {
    "audio.containers",
    "audio.mp3",
    "audio.ogg",
    "audio.onset",
    "audio.pace",
    "audio.samples",
    "audio.stopping",
    "backends.languages",
    "backends.parts",
    "backends.transducer.bias",
    "backends.transducer.mel",
    "backends.transducer.resemblance",
    "backends.transducer.script",
    "backends.transducer.steering",
    "backends.transducer.tdt",
    "recognition.crossing",
    "recognition.endpoint",
    "recognition.energy",
    "recognition.geometry",
    "recognition.live",
    "recognition.merge",
    "recognition.spotting",
    "recognition.tape",
    "recognition.windows",
    "recognition.words",
}
"""No I/O, no clock, no global, no library of the rim; errors and what `base` holds are values."""

PURE_IMPORTS = {
    "collections",
    "dataclasses",
    "functools",
    "itertools",
    "math",
    "numpy",
    "struct",
    "typing",
    "unicodedata",
}

EARLY = [
    "__main__",
    "lastwords",
    "threads",
    "cli.main",
    "recording.session",
    "host.leave",
    "host.stdio",
    "host.watch",
    "host.writer",
    "protocol.json_lines",
    "backends.registry",
    "backends.worker.client",
    "audio.microphone",
    "audio.portaudio",
    "audio.source",
]
"""What loads before the microphone runs."""

HEAVY = [
    "parakeet_coreml.bench",
    "numpy",
    "soxr",
    "soundfile",
    "onnxruntime",
    "coremltools",
    "mlx",
    "urllib3",
    "asyncio",
]

MOST_LINES = 60

LONGEST_MODULE = 400


@dataclass(frozen=True)
class Module:
    """One file of the package. Names are without the package's."""

    name: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = Module(name, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the full name of everything imported anywhere below a node."""
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0, "imports are absolute"
            assert part.module is not None
            yield from (_target(part.module, alias.name) for alias in part.names)


def _target(module: str, name: str) -> str:
    """Return the module behind `from module import name`."""
    own = f"{module}.{name}".removeprefix(f"{PACKAGE}.")
    return f"{PACKAGE}.{own}" if module.startswith(PACKAGE) and own in modules() else module


def own_imports(module: Module) -> set[str]:
    """Return the modules of the package that one imports, lazily or not."""
    names = {n for n in imports(module.tree) if n.split(".")[0] == PACKAGE}
    return {n.removeprefix(PACKAGE).removeprefix(".") or "__init__" for n in names}


def foreign_imports(module: Module) -> set[str]:
    return {n.split(".")[0] for n in imports(module.tree)} - {PACKAGE}


def at_load(module: Module) -> set[str]:
    """Return the foreign modules imported when this one is: not in functions, not for types."""
    found: set[str] = set()
    for node in module.tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {n.split(".")[0] for n in imports(node)}
    return found


def height(name: str) -> int:
    """Return the floor a module's room is on."""
    room = name.partition(".")[0]
    return next(i for i, names in enumerate(ROOMS) if room in names.split())


def inner_height(name: str) -> int:
    """Return the floor within the room; 0 where all of it is one."""
    room, _, rest = name.partition(".")
    floors = INNER.get(room, ("*",))
    part = rest.partition(".")[0]
    return floors.index(part) if part in floors else floors.index("*")


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


EVERY = pytest.mark.parametrize("module", modules().values(), ids=modules().keys())


def test_every_module_is_in_a_room_and_every_room_exists() -> None:
    named = [room for rooms in ROOMS for room in rooms.split()]
    assert len(named) == len(set(named))
    assert set(named) == {module.room for module in modules().values()}


@EVERY
def test_a_room_imports_only_rooms_below_it(module: Module) -> None:
    for target in own_imports(module):
        if target.partition(".")[0] == module.room:
            continue
        assert height(target) < height(module.name), f"{module.name} imports {target}"


@EVERY
def test_within_a_room_its_inner_rooms_are_kept(module: Module) -> None:
    for target in own_imports(module):
        if target.partition(".")[0] == module.room:
            fits = inner_height(target) <= inner_height(module.name)
            assert fits, f"{module.name} imports {target}"


def test_nothing_imports_itself_over_others() -> None:
    edges = {name: own_imports(module) for name, module in modules().items()}
    left = dict(edges)
    while left:  # take away what imports nothing that is left, until nothing is
        ends = [name for name, targets in left.items() if not targets & left.keys() - {name}]
        assert ends, f"a circle among {sorted(left)}"
        for name in ends:
            del left[name]


@EVERY
def test_a_room_says_its_job_in_one_sentence(module: Module) -> None:
    if (ROOT / module.name.replace(".", "/")).is_dir():
        text = ast.get_docstring(module.tree) or ""
        assert text.endswith(".")
        assert "\n\n" not in text
        assert len(module.tree.body) == 1, "a room's own file holds nothing else"


def rooms_of_the_design() -> dict[str, set[str]]:
    """Return what the table of rooms names in each: modules, and rooms within."""
    text = (ROOT.parent / "docs" / "DESIGN.md").read_text("utf-8")
    found = {}
    for line in text.splitlines():
        row = re.fullmatch(r"\| `(\w+)/` \| [^|]+ \| ([^|]+) \|", line)
        if row:
            found[row[1]] = set(re.findall(r"`(\w+)/?`", row[2]))
    return found


def test_the_design_names_every_module_in_its_room_and_no_other() -> None:
    real: dict[str, set[str]] = {}
    for name in modules():
        room, *inner = name.split(".")
        if (ROOT / room).is_dir():
            real.setdefault(room, set()).update(inner)
    assert rooms_of_the_design() == real
    text = (ROOT.parent / "docs" / "DESIGN.md").read_text("utf-8")
    alone = {name for name in modules() if "." not in name} - real.keys() - {"__init__"}
    assert {name for name in alone if f"`{name}`" not in text} == set()


def names_in(tree: ast.Module) -> set[str]:
    """Return what a module defines, methods and constants too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.name)
    return found


def test_what_the_design_names_within_a_module_is_there() -> None:
    text = (ROOT.parent / "docs" / "DESIGN.md").read_text("utf-8")
    checked = 0
    for owner, name in re.findall(r"`(?:\w+[/.])*(\w+)\.(\w+)`", text):
        if name in {"py", "json", "jsonl", "md"}:
            continue
        own = {n: names_in(m.tree) for n, m in modules().items()}
        homes = [n for n in own if n.rpartition(".")[2] == owner or owner in own[n]]
        inside = any(n.endswith(f".{owner}.{name}") or n == f"{owner}.{name}" for n in own)
        assert inside or any(name in own[n] for n in homes), f"{owner}.{name}"
        checked += 1
    assert checked > 10


def imports_told() -> Iterator[tuple[str, str, str]]:
    """Yield what pages for people tell them to import: page, module, name."""
    for page in sorted((ROOT.parent / "docs").rglob("*.md")):
        text = " ".join(page.read_text("utf-8").split())
        for module, name in re.findall(r"from (parakeet_coreml[\w.]*) import (\w+)", text):
            yield page.name, module, name


def test_the_pages_tell_to_import_something() -> None:
    assert len(list(imports_told())) >= 3


@pytest.mark.parametrize(("page", "module", "name"), list(imports_told()))
def test_what_a_page_tells_to_import_is_there(page: str, module: str, name: str) -> None:
    own = module.removeprefix(f"{PACKAGE}.")
    if f"{own}.{name}" not in modules():
        tree = modules()[own].tree
        defined = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        assert name in defined, f"{page}: {module} has no {name}"


def test_the_registry_opens_backends_only_when_asked() -> None:
    loaded = [
        name
        for node in modules()["backends.registry"].tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in imports(node)
    ]
    assert not {name.removeprefix(f"{PACKAGE}.") for name in loaded} & OPENED_BY_NAME


@EVERY
def test_each_library_is_touched_in_one_module(module: Module) -> None:
    for library in foreign_imports(module) & set(SOLE_IMPORTERS):
        assert module.name in SOLE_IMPORTERS[library], f"{module.name} imports {library}"
    if "click" in foreign_imports(module):
        assert module.room == "cli", module.name


def test_the_sole_importers_do_import_their_library() -> None:
    for library in ("soxr", "sounddevice", "soundfile", "onnxruntime", "urllib3"):
        for name in SOLE_IMPORTERS[library]:
            assert library in foreign_imports(modules()[name])


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_nothing_of_the_rim(name: str) -> None:
    module = modules()[name]
    assert foreign_imports(module) <= PURE_IMPORTS
    assert own_imports(module) <= PURE | {"errors", "backends.base"}
    assert not {n.id for n in ast.walk(module.tree) if isinstance(n, ast.Name)} & {"open", "print"}
    assert not [n for n in ast.walk(module.tree) if isinstance(n, (ast.Global, ast.Nonlocal))]


@EVERY
def test_what_calls_itself_pure_is_held_to_it(module: Module) -> None:
    summary = (ast.get_docstring(module.tree) or "").split("\n\n", maxsplit=1)[0]
    assert bool(re.search(r"Pure(\.|, and)", summary)) == (module.name in PURE)


@EVERY
def test_backends_know_nothing_of_windows_lines_or_hosts(module: Module) -> None:
    if module.room == "backends":
        rooms = {target.partition(".")[0] for target in own_imports(module)}
        assert rooms <= {"audio", "backends", "errors", "lastwords", "store", "threads"}
        sounds = {n for n in own_imports(module) if n.startswith("audio.")}
        assert sounds <= {"audio.samples"}


def test_the_data_path_knows_the_protocol_and_no_backend() -> None:
    for module in modules().values():
        if module.room == "recognition":
            backends = {n for n in own_imports(module) if n.startswith("backends")}
            assert backends <= {"backends.base"}, module.name


@EVERY
def test_types_are_imported_apart_only_where_numpy_must_wait(module: Module) -> None:
    guarded = any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for node in module.tree.body
    )
    if guarded:
        assert "numpy" not in at_load(module)


# Manners


@EVERY
def test_functions_fit_in_the_eye(module: Module) -> None:
    for function in functions(module):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1
        assert lines <= MOST_LINES, f"{function.name} has {lines} lines"


@EVERY
def test_modules_fit_in_the_mind(module: Module) -> None:
    path = ROOT / f"{module.name.replace('.', '/')}.py"
    if path.is_file():
        assert len(path.read_text("utf-8").splitlines()) <= LONGEST_MODULE


@EVERY
def test_every_function_is_annotated(module: Module) -> None:
    for function in functions(module):
        own = function.args
        args = [*own.posonlyargs, *own.args, *own.kwonlyargs, own.vararg, own.kwarg]
        bare = [a.arg for a in args if a and a.annotation is None and a.arg not in {"self", "cls"}]
        assert not bare, f"{function.name}({', '.join(bare)})"
        assert function.returns is not None, function.name


@EVERY
def test_no_handler_swallows_every_exception(module: Module) -> None:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            assert "Exception" not in {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}


@EVERY
def test_a_module_says_its_job(module: Module) -> None:
    assert ast.get_docstring(module.tree)


def test_no_frame_and_no_window_is_counted_by_hand() -> None:
    for module in modules().values():
        constants = {n.value for n in ast.walk(module.tree) if isinstance(n, ast.Constant)}
        assert module.name == "audio.samples" or not constants & {1_280, 240_000}, module.name


# What loads early


@pytest.mark.parametrize("name", EARLY)
def test_before_the_microphone_runs_nothing_heavy_loads(name: str) -> None:
    code = f"import sys, {PACKAGE}.{name}; print(*(m for m in {HEAVY} if m in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split() == []


def test_geometry_needs_no_numpy() -> None:
    reached, open_ends = set(), ["recognition.geometry"]
    while open_ends:
        name = open_ends.pop()
        reached.add(name)
        open_ends += own_imports(modules()[name]) - reached
        assert "numpy" not in at_load(modules()[name])
    assert reached == {"recognition.geometry", "audio.samples", "errors"}

"""Check that a frozen folder holds what it should and nothing else; print what each part weighs.

    python build/check_bundle.py dist/parakeet-coreml [--variant coreml|portable] [--report FILE]

Every file, and every Python module inside the executable, must belong to a component of the list
below, and no component may be missing or heavier than its bound. What came in unasked once (test
suites, tkinter, pip, a conversion stack) comes in again with the next version of some dependency.
With PyInstaller's report of missing modules it is also checked that nothing was left out that is
imported as soon as its importer is.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the folder: which files, how many megabytes at most, in which variants."""

    name: str
    files: str
    """Regular expression of whole paths, relative to the folder, with `/`."""
    most: float
    variants: tuple[str, ...] = ("coreml", "portable")


OPTIONAL = {"system libraries", "OpenSSL", "Core ML binding", "tiny-en"}
"""Components that some machines have no use for; a standalone Python has OpenSSL inside itself."""

_LIB = r"(\.so|\.dylib)[.\d]*"
_INNER = r"(_internal/|Contents/Frameworks/)?"

COMPONENTS = (
    Component("program and its Python modules", r"parakeet-coreml", 8),
    Component(
        "Python",
        _INNER + rf"(libpython3[\d.]*{_LIB}|Python|base_library\.zip|python3\.\d+/lib-dynload/\w+"
        r"(\.cpython-3\d+[\w-]*|\.abi3)?\.so)",
        25,
    ),
    Component("OpenSSL", _INNER + rf"lib(ssl|crypto)([.-]3)?{_LIB}", 9),
    Component(
        "system libraries",
        _INNER + rf"lib(z|bz2|lzma|ffi|uuid|mpdec|expat|stdc\+\+|gcc_s){_LIB}",
        5,
    ),
    Component(
        "NumPy",
        _INNER + rf"(numpy/[\w/]+\.[\w.-]*so|numpy[./](libs|\.dylibs)/\S+|lib(scipy_openblas64_|"
        rf"gfortran|quadmath)\S*{_LIB})",
        48,
    ),
    Component(
        "ONNX Runtime", _INNER + r"onnxruntime/capi/[\w.-]+\.(so|dylib)[.\d]*", 45, ("portable",)
    ),
    Component("Core ML binding", _INNER + r"coremltools/libcoremlpython\.so", 2, ("coreml",)),
    Component(
        "PortAudio",
        _INNER + rf"(libportaudio{_LIB}|lib(jack|db)[-.\d]*{_LIB}|_cffi_backend[\w.-]*\.so|"
        r"_sounddevice_data/portaudio-binaries/(libportaudio\.dylib|README\.md))",
        4,
    ),
    Component("libsndfile", _INNER + r"_soundfile_data/(libsndfile_\w+\.(so|dylib)|COPYING)", 5),
    Component("soxr", _INNER + r"soxr/soxr_ext[\w.-]*\.so", 1),
    Component("model manifests", _INNER + r"parakeet_coreml/manifests/[\w.-]+\.json", 0.1),
    Component("sample", _INNER + r"parakeet_coreml/samples/(speech\.(wav|txt)|words\.tsv)", 2),
    Component("tiny-en", _INNER + r"parakeet_coreml/tiny_en/[\w./-]+", 60),
    Component("versions", _INNER + r"[\w.]+-[\w.]+\.dist-info/METADATA", 0.2),
    Component("man page and completions", r"share/(man|bash-completion|zsh|fish)/[\w./-]+", 0.1),
    Component("licences", _INNER + r"licences/[\w./-]+", 1),
)

MODULES = {
    "click",
    "numpy",
    "onnxruntime",
    "parakeet_coreml",
    "sounddevice",
    "_sounddevice",
    "soundfile",
    "_soundfile",
    "_soundfile_data",
    "soxr",
    "typing_extensions",
    "urllib3",
}
"""Top-level modules that are not of the standard library."""

PROVIDED = {"ctypes.util"}
"""Modules that `bundled_libraries.py` stands in for."""

BANNED = {
    "asyncio",
    "concurrent",
    "distutils",
    "doctest",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "multiprocessing",
    "pdb",
    "pydoc",
    "sqlite3",
    "test",
    "tkinter",
    "turtle",
    "unittest",
    "venv",
    "xmlrpc",
}
"""Of the standard library, but nothing that a recorder runs."""


def main() -> None:
    """Check one folder; exit code 1 and a line for each thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", choices=["coreml", "portable"])
    parser.add_argument("--report", type=Path, help="PyInstaller's warn-….txt")
    arguments = parser.parse_args()
    files = files_of(arguments.folder)
    variant = arguments.variant or variant_of(files)
    weights, wrong = weigh(files, variant)
    wrong += bad_links(arguments.folder)
    wrong += bad_modules(modules_of(arguments.folder / "parakeet-coreml"), variant)
    if arguments.report:
        wrong += bad_exclusions(arguments.report.read_text())
    for name, size in weights.items():
        sys.stdout.write(f"{name:<34}{size / MB:8.1f} MB\n")
    sys.stdout.write(f"{f'{variant}, {len(files)} files':<34}{sum(files.values()) / MB:8.1f} MB\n")
    for line in wrong:
        sys.stderr.write(f"Error: {line}\n")
    sys.exit(bool(wrong))


def files_of(folder: Path) -> dict[str, int]:
    """Return the bytes of every file in a folder by relative path; of a link, none."""
    return {
        path.relative_to(folder).as_posix(): 0 if path.is_symlink() else path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def variant_of(files: Iterable[str]) -> str:
    """Return the variant that a folder was built as."""
    return "portable" if any("onnxruntime/" in path for path in files) else "coreml"


def weigh(files: dict[str, int], variant: str) -> tuple[dict[str, int], list[str]]:
    """Return bytes by component, and what is wrong: strangers, absent parts, heavy parts."""
    parts = [part for part in COMPONENTS if variant in part.variants]
    weights = dict.fromkeys((part.name for part in parts), 0)
    wrong, seen = [], set()
    for path, size in files.items():
        owner = next((part for part in parts if re.fullmatch(part.files, path)), None)
        if owner is None:
            wrong.append(f"'{path}' belongs to no component")
        else:
            seen.add(owner.name)
            weights[owner.name] += size
    for part in parts:
        if part.name not in seen | OPTIONAL:
            wrong.append(f"{part.name}: absent")
        if weights[part.name] > part.most * MB:
            heavy = weights[part.name] / MB
            wrong.append(f"{part.name}: {heavy:.1f} MB is more than {part.most:g} MB")
    return weights, wrong


def bad_links(folder: Path) -> list[str]:
    """Return a line for each link that breaks when the folder is moved or copied."""
    return [
        f"'{path.relative_to(folder)}' leads out of the folder or nowhere"
        for path in sorted(folder.rglob("*"))
        if path.is_symlink()
        and not (path.exists() and path.resolve().is_relative_to(folder.resolve()))
    ]


def bad_modules(modules: Iterable[str], variant: str) -> list[str]:
    """Return a line for each top-level module that is neither ours nor of use."""
    allowed = MODULES - ({"onnxruntime"} if variant == "coreml" else set())
    wrong = []
    for name in sorted({module.split(".")[0] for module in modules}):
        standard = name in sys.stdlib_module_names or name.startswith("_sysconfigdata_")
        if name in BANNED or not (standard or name in allowed):
            wrong.append(f"module '{name}' has no business here")
    return wrong


def bad_exclusions(report: str) -> list[str]:
    """Return a line for each module that was excluded and that its importer cannot do without."""
    wrong = []
    for name, importers in re.findall(
        r"^excluded module named (\S+) - imported by (.*)$", report, re.MULTILINE
    ):
        needing = [
            importer
            for importer in re.findall(r"([\w.]+) \(top-level\)", importers)
            if not importer.startswith("encodings.")  # of languages that we never decode
        ]
        if needing and name not in PROVIDED:
            wrong.append(f"excluded module '{name}' is needed by {', '.join(needing)}")
    return wrong


def modules_of(program: Path) -> list[str]:
    """Return the names of the Python modules inside the frozen executable."""
    from PyInstaller.archive.readers import CArchiveReader  # noqa: PLC0415  only to look inside

    archive = CArchiveReader(str(program))
    return list(archive.open_embedded_archive("PYZ.pyz").toc)


if __name__ == "__main__":
    main()

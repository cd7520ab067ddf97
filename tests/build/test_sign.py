"""Signing, with a `codesign` that writes down what it is asked and answers from that."""

import json
import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import requires

SCRIPT = Path(__file__).parent.parent.parent / "build" / "sign.sh"
IDENTITY = "Developer ID Application: Somebody (TEAM123456)"
THIN, FAT = bytes.fromhex("cffaedfe"), bytes.fromhex("cafebabe")

FAKE = """\
#!{python}
import json, os, sys
from pathlib import Path

state = Path(os.environ["FAKE_STATE"])
calls = json.loads(state.read_text()) if state.exists() else []
arguments = sys.argv[1:]
path = arguments[-1]
signed = [c for c in calls if "--sign" in c and c[-1] == path]
calls.append(arguments)
state.write_text(json.dumps(calls))

def value(name):
    return signed[-1][signed[-1].index(name) + 1]

if Path(path).name in os.environ.get("FAKE_BROKEN", "").split(","):
    sys.exit(f"{{path}}: broken")
if "--verify" in arguments:
    sys.exit(0 if signed else f"{{path}}: not signed at all")
if "--entitlements" in arguments and "--display" in arguments:
    print(Path(value("--entitlements")).read_text())
elif "--display" in arguments:
    name = value("--identifier") if "--identifier" in signed[-1] else Path(path).stem
    foreign = Path(path).name in os.environ.get("FAKE_FOREIGN", "").split(",")
    runtime = "0x10000(runtime)" if "runtime" in signed[-1] else "0x2(adhoc)"
    print(f"Identifier={{name}}", file=sys.stderr)
    print(f"CodeDirectory v=20500 size=1 flags={{runtime}} hashes=1", file=sys.stderr)
    if "--timestamp" in signed[-1]:
        print("Timestamp=22 Nov 2026 at 17:00:00", file=sys.stderr)
    print(f"TeamIdentifier={{'OTHER' if foreign else 'TEAM123456'}}", file=sys.stderr)
"""


class Mac:
    """A folder to sign, and the tools that a Mac would have."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "a place with spaces" / "parakeet-coreml"
        self.state = home / "calls.json"
        tools = home / "bin"
        tools.mkdir()
        for name in ("codesign", "ditto", "xcrun"):
            (tools / name).write_text(FAKE.format(python=sys.executable))
            (tools / name).chmod(0o755)
        self.env = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "FAKE_STATE": str(self.state),
            "CODESIGN_IDENTITY": IDENTITY,
        }
        self.put("parakeet-coreml", THIN)

    def put(self, path: str, magic: bytes) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(magic + b"\0" * 60)

    def run(self, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(SCRIPT), *map(str, arguments or (self.folder,))]
        return subprocess.run(
            command, env={**self.env, **env}, capture_output=True, text=True, check=False
        )

    @property
    def calls(self) -> list[list[str]]:
        return list(json.loads(self.state.read_text())) if self.state.exists() else []

    @property
    def signed(self) -> list[str]:
        return [
            str(Path(call[-1]).relative_to(self.folder)) for call in self.calls if "--sign" in call
        ]


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    mac = Mac(tmp_path)
    mac.put("_internal/libportaudio.dylib", FAT)
    mac.put("_internal/numpy/_core/_multiarray_umath.cpython-313-darwin.so", THIN)
    mac.put("_internal/Python", THIN)
    mac.put("_internal/parakeet_coreml/samples/speech.wav", b"RIFF")
    mac.put("_internal/base_library.zip", b"PK\3\4")
    (mac.folder / "_internal" / "libpython3.13.dylib").symlink_to("Python")
    return mac


def test_every_mach_o_is_signed_once_inner_ones_first_and_the_program_last(mac: Mac) -> None:
    done = mac.run()
    assert done.returncode == 0, done.stderr
    assert mac.signed == [
        "_internal/numpy/_core/_multiarray_umath.cpython-313-darwin.so",
        "_internal/Python",
        "_internal/libportaudio.dylib",
        "parakeet-coreml",
    ]


def test_all_are_signed_by_one_identity_with_hardened_runtime_and_timestamp(mac: Mac) -> None:
    mac.run()
    for call in mac.calls:
        if "--sign" in call:
            assert call[call.index("--sign") + 1] == IDENTITY
            assert call[call.index("--options") + 1] == "runtime"
            assert "--timestamp" in call
            assert "--deep" not in call


def test_only_the_program_has_entitlements_and_its_name_is_fixed(mac: Mac) -> None:
    mac.run()
    *libraries, program = [call for call in mac.calls if "--sign" in call]
    assert program[program.index("--identifier") + 1] == "parakeet-coreml"
    assert program[program.index("--entitlements") + 1] == str(SCRIPT.parent / "entitlements.plist")
    for call in libraries:
        assert "--entitlements" not in call
        assert "--identifier" not in call


def test_the_entitlements_are_audio_input_and_nothing_else() -> None:
    content = plistlib.loads((SCRIPT.parent / "entitlements.plist").read_bytes())
    assert content == {"com.apple.security.device.audio-input": True}


def test_every_signed_file_is_verified_afterwards(mac: Mac) -> None:
    mac.run()
    last = max(i for i, call in enumerate(mac.calls) if "--sign" in call)
    verified = [call[-1] for call in mac.calls[last:] if "--verify" in call]
    assert sorted(verified) == sorted(str(mac.folder / path) for path in mac.signed)


def test_a_file_that_cannot_be_signed_ends_it_before_the_program_is_signed(mac: Mac) -> None:
    done = mac.run(FAKE_BROKEN="Python")
    assert done.returncode != 0
    assert "parakeet-coreml" not in mac.signed


def test_a_library_of_another_team_is_named(mac: Mac) -> None:
    done = mac.run(FAKE_FOREIGN="libportaudio.dylib")
    assert done.returncode == 1
    assert "libportaudio.dylib' is of team OTHER, others are of TEAM123456" in done.stderr


def test_more_entitlements_than_audio_input_are_refused(mac: Mac, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(SCRIPT.parent, other)
    plist = other / "entitlements.plist"
    key = "<key>com.apple.security.cs.allow-jit</key><true/></dict>"
    plist.write_text(plist.read_text().replace("</dict>", key))
    done = subprocess.run(
        ["bash", other / "sign.sh", mac.folder],
        env=mac.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "other entitlements" in done.stderr


def test_ad_hoc_signing_leaves_out_what_needs_a_team(mac: Mac) -> None:
    done = mac.run(CODESIGN_IDENTITY="-")
    assert done.returncode == 0, done.stderr
    for call in mac.calls:
        assert "runtime" not in call
        assert "--timestamp" not in call
    assert "parakeet-coreml" in mac.signed


def test_a_framework_is_refused_before_anything_is_signed(mac: Mac) -> None:
    mac.put("_internal/Python.framework/Versions/3.13/Python", THIN)
    done = mac.run()
    assert (done.returncode, mac.signed) == (1, [])
    assert "framework" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "code"),
    [
        ((), {"CODESIGN_IDENTITY": ""}, 2),
        (("notarise", "FOLDER"), {}, 2),
        (("sign",), {}, 2),
        (("/nowhere",), {}, 1),
    ],
)
def test_without_what_it_needs_nothing_happens(
    mac: Mac, arguments: tuple[str, ...], env: dict[str, str], code: int
) -> None:
    named = [str(mac.folder) if word == "FOLDER" else word for word in arguments]
    done = mac.run(*named, **env)
    assert (done.returncode, mac.calls) == (code, [])
    assert done.stderr


def test_notarising_sends_one_archive_of_the_whole_folder_and_waits(mac: Mac) -> None:
    done = mac.run("notarise", mac.folder, NOTARY_PROFILE="mine")
    assert done.returncode == 0, done.stderr
    pack, submit = mac.calls
    assert pack[:4] == ["-c", "-k", "--keepParent", str(mac.folder)]
    archive = pack[4]
    assert submit == [
        "notarytool",
        "submit",
        archive,
        "--keychain-profile",
        "mine",
        "--wait",
    ]
    assert not Path(archive).parent.exists()


def test_shellcheck_has_no_complaint() -> None:
    requires("shellcheck", present=shutil.which("shellcheck") is not None)
    scripts = sorted(SCRIPT.parent.glob("*.sh"))
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")

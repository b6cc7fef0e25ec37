"""The committed wire code is what protoc makes of the committed protos."""

import itertools
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import grpc_tools
import pytest
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
WIRE = ROOT / "node/wire/v1"
PROTOS = sorted(WIRE.glob("*.proto"))
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
EXPLAINED = re.compile(
    r"\s*(?:(?:message|service|rpc|enum|oneof) \w+"  # what has a name of its own,
    r"|(?:(?:optional|repeated) )?[\w.]+ \w+ = \d+;"  # a field, a value of an enum
    r"|\w+ = \d+;)"
)


def number(version: str) -> tuple[int, ...]:
    """Turn "1.85.1" into (1, 85, 1)."""
    return tuple(map(int, version.split(".")))


def test_generated_code_is_current(tmp_path: Path) -> None:
    """Regenerating the wire code changes no byte of it, and leaves none over."""
    made_by = ["protoc", f"-I{ROOT}", f"-I{WELL_KNOWN}"]
    outs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    files = [str(path.relative_to(ROOT)) for path in PROTOS]

    assert protoc.main([*made_by, *outs, *files]) == 0

    made = {path.name: path.read_bytes() for path in tmp_path.rglob("*_pb2*")}
    kept = {path.name: path.read_bytes() for path in WIRE.glob("*_pb2*")}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_floors_admit_the_generated_code() -> None:
    """The lowest grpcio and protobuf we allow can load the wire code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = dict(wish.split(">=") for wish in project["dependencies"])
    sources = "".join(path.read_text() for path in WIRE.glob("*_pb2*.py"))
    for package, says in (
        ("protobuf", r"Protobuf Python Version: ([\d.]+)"),
        ("grpcio", r"GRPC_GENERATED_VERSION = '([\d.]+)'"),
    ):
        made_by = re.findall(says, sources)
        assert made_by, package
        assert number(floors[package]) >= max(map(number, made_by)), package


@pytest.mark.parametrize("proto", PROTOS, ids=lambda path: path.stem)
def test_every_wire_name_has_a_comment(proto: Path) -> None:
    """Each file, service, method, message and field is explained above it."""
    lines = proto.read_text().splitlines()
    assert lines[0].startswith("// ")
    named = 0
    for above, line in itertools.pairwise(lines):
        if EXPLAINED.match(line):
            named += 1
            assert above.strip().startswith("//"), line
    assert named > 0


def test_protos_break_nobody() -> None:
    """`buf breaking` against the protos of the first version has nothing to say.

    `tests/wire/first.binpb` is the image that `buf build` made of them.
    """
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    ran = subprocess.run(
        [buf, "breaking", "--against", "tests/wire/first.binpb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout + ran.stderr == ""
    assert ran.returncode == 0


def test_protos_keep_the_rules_of_buf() -> None:
    """`buf lint` has nothing to say; buf.yaml states the one exception."""
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    ran = subprocess.run(
        [buf, "lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout + ran.stderr == ""
    assert ran.returncode == 0

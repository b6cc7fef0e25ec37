"""Every benchmark runs at its smallest size, and writes what its page promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NOT_RUN = {"machine.py", "pipeline.py"}  # what others are made of
PROGRAMS = sorted(p.name for p in FOLDER.glob("*.py") if p.name not in NOT_RUN)


def run(name: str, *options: str) -> str:
    """Run a benchmark as its page says; return what it printed."""
    done = subprocess.run(
        [sys.executable, FOLDER / name, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [p for p in PROGRAMS if p != "plots.py"])
def test_help_shows_a_command(name: str) -> None:
    """`--help` says what is measured, and how to run it."""
    text = run(name, "--help")
    assert f"python benchmarks/{name}" in text
    assert "--json" in text


@pytest.mark.slow
def test_peers(tmp_path: Path) -> None:
    """All that are installed, value by value; both pipelines with equal outcomes."""
    path = tmp_path / "peers.json"
    options = ("--key-bits", "2048", "--rounds", "1", "--subjects", "3")
    run("peers.py", *options, "--json", str(path))
    found = json.loads(path.read_text())
    names = {line["peer"] for line in found["peers"]} | set(found["left_out"])
    assert names == {"phe", "heu", "tno", "gmpy2", "native"}
    for line in found["peers"]:
        for job in ("encrypt", "add", "multiply", "dot36", "decrypt"):
            assert line[f"{job}_us"] > 0
    assert found["pipeline"]["mismatches"] == 0


@pytest.mark.slow
def test_district(tmp_path: Path) -> None:
    """A small district, whole: pushed, scored, fetched, compared."""
    path = tmp_path / "district.json"
    run("district.py", "--subjects", "300", "--workers", "1", "--json", str(path))
    found = json.loads(path.read_text())
    assert (found["subjects"], found["columns"], found["mismatches"]) == (300, 66, 0)
    asked = ("encrypt_s", "score_s", "decrypt_s", "total_s", "peak_rss_mb")
    assert all(found[name] > 0 for name in (*asked, "bytes_per_subject"))


@pytest.mark.slow
def test_online(tmp_path: Path) -> None:
    """A few calls over sockets, timed."""
    path = tmp_path / "online.json"
    run("online.py", "--callers", "2", "--calls", "20", "--json", str(path))
    found = json.loads(path.read_text())
    wanted = (
        "key_bits",
        "callers",
        "calls",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "calls_per_s",
    )
    assert (found["callers"], found["calls"]) == (2, 20)
    assert all(found[name] > 0 for name in wanted)

"""Every benchmark runs at its smallest size, and writes what its page promises."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from protocols import native

FOLDER = Path(__file__).parents[1] / "benchmarks"
NOT_RUN = {"machine.py", "pipeline.py", "plots.py"}  # they measure nothing
PROGRAMS = sorted(p.name for p in FOLDER.glob("*.py") if p.name not in NOT_RUN)
ORIGIN = {"command", "machine", "commit"}


def start(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as its page says."""
    return subprocess.run(
        [sys.executable, FOLDER / name, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run(name: str, *options: str) -> str:
    """Run a benchmark to its end; return what it printed."""
    done = start(name, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures(folder: Path, name: str, *options: str) -> dict[str, Any]:
    """Run a benchmark; return what it wrote beside where it comes from."""
    path = folder / "figures.json"
    run(name, *options, "--json", str(path))
    found = json.loads(path.read_text())
    assert not ORIGIN - found.keys()
    assert name in found["command"]
    assert all(found.pop(key) for key in ORIGIN)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_shows_a_command(name: str) -> None:
    """`--help` says what is measured, and how to run it."""
    text = run(name, "--help")
    assert f"python benchmarks/{name}" in text
    assert "--json" in text


@pytest.mark.parametrize("where", ["missing/figures.json", "."])
def test_a_file_that_cannot_be_written_is_refused_first(
    tmp_path: Path, where: str
) -> None:
    """What runs for an hour does not fail at its last line."""
    done = start("ledger.py", "--json", str(tmp_path / where))
    assert done.returncode == 2
    assert f"`{tmp_path / where}` is no file that can be written" in done.stderr
    assert done.stdout == ""


def test_audit(tmp_path: Path) -> None:
    """Three ways to read the same export, each of every entry."""
    found = figures(tmp_path, "audit.py", "--calls", "20")
    assert found.keys() == {"figures"}
    lines = found["figures"]
    names = ["structure", "all, believed", "all, verified"]
    assert [line["what"] for line in lines] == names
    assert len({line["entries"] for line in lines}) == 1
    assert all(line["entries"] > 20 and line["rate"] > 0 for line in lines)


@pytest.mark.slow
def test_consents(tmp_path: Path) -> None:
    """The table goes in, and the second time changes nothing."""
    found = figures(tmp_path, "consents.py", "--rows", "300")
    assert found.pop("rows") == 300
    assert found.keys() == {"load_before", "dry_s", "import_s", "again_s"}
    assert found["import_s"] > 0


@pytest.mark.slow
def test_aggregates(tmp_path: Path) -> None:
    """Fifteen towns and all of them; the benchmark itself compares every figure."""
    found = figures(tmp_path, "aggregates.py", "--subjects", "300")
    assert (found["subjects"], found["key_bits"]) == (300, 2048)
    assert [run["groups"] for run in found["runs"]] == [15, 1]
    assert all(run["decryptions"] and run["seconds"] > 0 for run in found["runs"])
    assert all(found["of_one_ciphertext"].values())


@pytest.mark.slow
def test_private_calls(tmp_path: Path) -> None:
    """As many candidates as there are subjects; every answer is the open call's."""
    found = figures(tmp_path, "private_calls.py", "--subjects", "64", "--calls", "2")
    assert [run["candidates"] for run in found["runs"]] == [16, 64]
    assert all(run["median_ms"] > 0 < run["open_median_ms"] for run in found["runs"])


@pytest.mark.slow
def test_psi(tmp_path: Path) -> None:
    """Nine customers of ten are on the list, whichever way it is asked."""
    found = figures(tmp_path, "psi.py", "--ids", "10")
    assert found.keys() == {"load", "push_s", "runs"}
    assert [run["mode"] for run in found["runs"]] == ["intersection", "cardinality"]
    assert [run["found"] for run in found["runs"]] == [9, 9]


def test_replay(tmp_path: Path) -> None:
    """Either journal, then both together."""
    found = figures(tmp_path, "replay.py", "--calls", "20", "--runs", "1")
    assert found.keys() == {"figures"}
    authority, house, both, cross = found["figures"]
    assert authority["entries"] + house["entries"] == both["entries"]
    assert cross["entries"] == both["entries"]
    assert all(line["rate"] > 0 for line in (authority, house, both, cross))


def test_ledger(tmp_path: Path) -> None:
    """Decisions from 1, 16 and 64 threads, and an export of the size asked for."""
    options = ("--seconds", "0.1", "--entries", "200")
    found = figures(tmp_path, "ledger.py", *options)
    assert found.keys() == {"results"}
    *decisions, verify = found["results"]
    assert len(decisions) == 3
    assert verify["count"] == 200
    assert all(line["per_second"] > 0 for line in found["results"])


def test_paillier(tmp_path: Path) -> None:
    """Three jobs beside phe, on the same key."""
    found = figures(tmp_path, "paillier.py", "--rounds", "1")
    assert found.keys() == {"bits", "slots", "lines"}
    assert found["bits"] == 2048
    assert [line["job"] for line in found["lines"]] == ["encrypt", "score", "decrypt"]
    assert all(line["times"] > 0 for line in found["lines"])


@pytest.mark.slow
def test_native(tmp_path: Path) -> None:
    """Every operation of the core beside gmpy2; without a core, why there is none."""
    if not native.available(2048):
        done = start("native.py", "--rounds", "1")
        assert done.returncode == 1
        assert native.reason() in done.stderr
        return
    found = figures(tmp_path, "native.py", "--rounds", "1")
    assert found.keys() == {"bits", "ifma_per_s", "lines"}
    assert found["bits"] == 2048
    names = {line["operation"] for line in found["lines"]}
    assert {"decrypt", "power", "encrypt", "blind", "program"} <= names
    assert all(line["times"] > 0 for line in found["lines"])


@pytest.mark.slow
def test_peers(tmp_path: Path) -> None:
    """All that are installed, value by value; both pipelines with equal outcomes."""
    options = ("--key-bits", "2048", "--rounds", "1", "--subjects", "3")
    found = figures(tmp_path, "peers.py", *options)
    names = {line["peer"] for line in found["peers"]} | set(found["left_out"])
    assert names == {"phe", "heu", "tno", "gmpy2", "native"}
    for line in found["peers"]:
        for job in ("encrypt", "add", "multiply", "dot36", "decrypt"):
            assert line[f"{job}_us"] > 0
    assert found["pipeline"]["mismatches"] == 0


@pytest.mark.slow
def test_district(tmp_path: Path) -> None:
    """A small district, whole: pushed, scored, fetched, compared."""
    options = ("--subjects", "300", "--workers", "1")
    found = figures(tmp_path, "district.py", *options)
    assert (found["subjects"], found["columns"], found["mismatches"]) == (300, 66, 0)
    asked = ("encrypt_s", "score_s", "decrypt_s", "total_s", "peak_rss_mb")
    assert all(found[name] > 0 for name in (*asked, "bytes_per_subject"))


@pytest.mark.slow
def test_online(tmp_path: Path) -> None:
    """A few calls over sockets, timed."""
    found = figures(tmp_path, "online.py", "--callers", "2", "--calls", "20")
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


@pytest.mark.slow
def test_comparison(tmp_path: Path) -> None:
    """Every gate that is wide enough, and every kind of call, timed."""
    found = figures(tmp_path, "comparison.py", "--calls", "3")
    assert found.keys() == {"gates", "calls"}
    assert {line["gate"] for line in found["gates"]} == {"flat", "split", "thr"}
    assert [line["kind"] for line in found["calls"]] == ["score", "range", "verify"]
    for line in found["calls"]:
        assert (line["key_bits"], line["calls"]) == (2048, 3)
        assert line["p50_ms"] > 0


def test_every_benchmark_is_run() -> None:
    """A benchmark that no test runs stops starting, and nobody sees it."""
    tests = {f"test_{Path(name).stem}" for name in PROGRAMS}
    assert not tests - globals().keys()

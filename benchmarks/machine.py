"""What benchmarks share: a command line, and a file that says where figures come from.

`--help` shows the benchmark's page, whose last lines are an example.  `--json FILE`
is refused before anything is measured if FILE cannot be written, and holds command,
machine and commit beside the figures.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("gmpy2", "grpcio", "apsw", "cryptography")


def machine(*packages: str) -> str:
    """Name processor, cores and the versions that matter."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    versions = [f"{name} {version(name)}" for name in (*PACKAGES, *packages)]
    return (
        f"{(models or [platform.processor()])[0]}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


def commit() -> str:
    """Name the commit of this file's repository."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def command_line(page: str | None) -> argparse.ArgumentParser:
    """Begin a benchmark's command line with its page and `--json`."""
    parser = argparse.ArgumentParser(
        description=page, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json", type=destination, metavar="FILE", help="write the figures here"
    )
    return parser


def destination(text: str) -> Path:
    """Read where figures go; an hour's work must not fail at its last line."""
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"`{text}` is no file that can be written")
    return path


def publish(figures: Mapping[str, object], file: Path | None, *packages: str) -> None:
    """Say where figures come from; write both to `file` if there is one."""
    origin = {
        "command": shlex.join(sys.argv),
        "machine": machine(*packages),
        "commit": commit(),
    }
    print(f"machine: {origin['machine']}\ncommit: {origin['commit']}")
    if file is not None:
        text = json.dumps({**origin, **figures}, indent=2, ensure_ascii=False)
        file.write_text(text + "\n")

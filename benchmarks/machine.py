"""Where figures come from: processor, versions, commit.

Every benchmark writes these beside what it measured.
"""

import os
import platform
import subprocess
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

"""Draw what the benchmarks measured, for the README: `make bench` ends with this.

layers.svg    what a value costs, from phe to the native core, by job
district.svg  what a subject costs, against the size of the district

python benchmarks/plots.py --results benchmarks/results --out benchmarks/plots
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "safehouse"  # the same data, the same file
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.size"] = 10

from matplotlib import pyplot as plt  # noqa: E402  after the choice of what draws

JOBS: Final = ("encrypt", "add", "multiply", "dot36", "decrypt")
NAMES: Final = {
    "phe": "phe + gmpy2",
    "heu": "HEU (SecretFlow)",
    "tno": "TNO",
    "gmpy2": "ours, gmpy2",
    "native": "ours, AVX512-IFMA",
}
COLOURS: Final = ("#9aa5b1", "#7b8794", "#52606d", "#5b8fc7", "#1f4e8c")


def layers(peers: dict[str, Any], out: Path) -> None:
    """Draw microseconds a value, on a logarithmic scale."""
    bits = min(line["key_bits"] for line in peers["peers"])
    lines = [line for line in peers["peers"] if line["key_bits"] == bits]
    figure, axes = plt.subplots(figsize=(8, 3.6))
    width = 0.8 / len(lines)
    for number, line in enumerate(lines):
        places = [
            job + (number - len(lines) / 2 + 0.5) * width for job in range(len(JOBS))
        ]
        heights = [line[f"{job}_us"] for job in JOBS]
        name, colour = NAMES[line["peer"]], COLOURS[number % len(COLOURS)]
        axes.bar(places, heights, width, label=name, color=colour)
    axes.set_yscale("log")
    axes.set_xticks(
        range(len(JOBS)), ["encrypt", "add", "multiply", "36 terms", "decrypt"]
    )
    axes.set_ylabel("microseconds a value")
    axes.set_title(f"{bits}-bit keys, one core: what one value costs")
    axes.legend(fontsize=8, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, out)


def district(runs: list[dict[str, Any]], out: Path) -> None:
    """Draw microseconds a subject against the number of subjects."""
    figure, axes = plt.subplots(figsize=(8, 3.6))
    groups: dict[tuple[int, str, int], list[dict[str, Any]]] = {}
    for run in runs:
        name = run["key_bits"], run["backend"], run["workers"]
        groups.setdefault(name, []).append(run)
    for (bits, backend, workers), found in sorted(groups.items()):
        found.sort(key=lambda run: run["subjects"])
        sizes = [run["subjects"] for run in found]
        for what, label, style in (
            ("encrypt_s", "encrypt and push", "--"),
            ("total_s", "job to checked outcomes", "-"),
        ):
            costs = [run[what] / run["subjects"] * 1e6 for run in found]
            told = f"{label}, {bits} bits, {backend}, {workers} cores"
            axes.plot(sizes, costs, style, marker="o", label=told)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("subjects, 66 columns each")
    axes.set_ylabel("microseconds a subject, wall clock")
    axes.set_title("What a subject costs, against the size of the district")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, out)


def save(figure: Any, out: Path) -> None:  # noqa: ANN401  a matplotlib figure
    """Write the picture, without a date in it."""
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)
    print(out)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).parent
    parser.add_argument("--results", type=Path, default=here / "results")
    parser.add_argument("--out", type=Path, default=here / "plots")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    peers = options.results / "peers.json"
    if peers.exists():
        layers(json.loads(peers.read_text()), options.out / "layers.svg")
    runs = [json.loads(p.read_text()) for p in options.results.glob("district*.json")]
    if runs:
        district(runs, options.out / "district.svg")


if __name__ == "__main__":
    main()

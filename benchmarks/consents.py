"""How long a registrar's table of paper authorisations takes to be in force.

House and authority run as two processes with durable journals on loopback, the
registrar's SDK in this one: the whole way of `safehouse consent import`, from the CSV
to both receipts.  Every row is another resident's, under a digest of its own.

    dry     every row checked, nothing signed
    import  checked, signed, kept, sent to both, recorded by both
    again   the same table once more: nothing is new

    python benchmarks/consents.py --rows 120000 --json consents.json
"""

import csv
import os
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from machine import command_line, publish

from contracts.consent_csv import CONSENT_COLUMNS
from contracts.subject import SubjectType
from node import clock
from node.demo import Stage
from node.keys import RegistrarKeys
from node.registrar import Registrar

WEIGHTS = [pow(2, 17 - place, 11) for place in range(17)]  # GB 11643-1999 section 5


def residents(count: int) -> Iterator[str]:
    """Make up identity numbers with the right check digits."""
    for number in range(count):
        born = date(1950, 1, 1) + timedelta(days=number // 100)
        text = f"370811{born:%Y%m%d}{number % 100:03}"
        total = sum(int(a) * b for a, b in zip(text, WEIGHTS, strict=True))
        yield text + "10X98765432"[total % 11]


def write(path: Path, count: int) -> None:
    """Write the table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CONSENT_COLUMNS)
        for number, resident in enumerate(residents(count)):
            day = f"2026-01-{1 + number % 28:02}T09:00:00+08:00"
            until = f"2028-01-{1 + number % 28:02}T00:00:00+08:00"
            shared = ("jnrcb;lsbank", "loan-precheck", "contract:german-card")
            paper = ("unlimited", "10/30d", "false", "paper", f"{number:064x}")
            name = f"2026-{number:06}"
            writer.writerow((name, resident, *shared, day, until, *paper, day))


def main() -> None:
    """Measure and print; `--json` writes the figures."""
    parser = command_line(__doc__)
    parser.add_argument("--rows", type=int, default=120_000)
    options = parser.parse_args()
    figures: dict[str, object] = {"rows": options.rows}
    figures["load_before"] = round(os.getloadavg()[0], 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder) / "domain", 2048) as stage,
        Registrar(*stage.party("registrar", RegistrarKeys)) as registrar,
    ):
        table = Path(folder) / "consents.csv"
        write(table, options.rows)
        kind, now_ms = SubjectType.CN_RESIDENT_ID, clock.now_ms()
        for what in ("dry", "import", "again"):
            began = clock.monotonic_us()
            report = registrar.import_consents(
                table, None, kind, now_ms, dry_run=what == "dry"
            )
            figures[f"{what}_s"] = round((clock.monotonic_us() - began) / 1e6, 2)
            if report.problems or report.consents != options.rows:
                raise RuntimeError("the table is not as it was written")
    print(figures)
    publish(figures, options.json)


if __name__ == "__main__":
    main()

"""How long an auditor's off-line report takes: `node.verify` from files to verdict.

Writes the journals of a made-up month (`benchmarks/replay.py`), signs them with a
checkpoint every so many entries, exports them, and verifies the export: structure
alone, then everything without the signatures of the documents, then with them.

    python benchmarks/audit.py --calls 20000
    python benchmarks/audit.py --json results.json
"""

import gc
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from machine import command_line

from benchmarks.replay import Figure, make, show
from contracts.replay import Role as Journal
from node.domain import RECEIVERS, Party, Role, TrustDomain
from node.export import Source, read_export, write_export
from node.identity import CertificateAuthority
from node.verify import JOURNALS, verify
from protocols import paillier
from protocols.note import Checkpoint, VerifierKey
from protocols.tlog import Tree, leaf_hash
from tests.journals import MORNING_MS, Town

ROLES = {
    "bank-a": Role.BANK,
    "bank-b": Role.BANK,
    "registry": Role.REGISTRAR,
    "house": Role.HOUSE,
    "authority": Role.AUTHORITY,
}


def trust_in(town: Town, journals: dict[Role, Ed25519PrivateKey]) -> TrustDomain:
    """Pin the keys of a made-up town."""
    parties = []
    for name, keys in sorted(town.keys.items()):
        role = ROLES.get(name, Role.CUSTODIAN)
        journal = (journals[role].public_key(),) if role in journals else ()
        receives = role in RECEIVERS
        hpke = (X25519PrivateKey.generate().public_key(),) if receives else ()
        parties.append(Party(name, role, name, tuple(keys), journal, hpke))
    authority = CertificateAuthority.create("example", MORNING_MS)
    key = paillier._small_key(512, secrets.token_bytes)  # noqa: SLF001  not in question
    pem = authority.tls.certificate_pem
    return TrustDomain("example", 1, MORNING_MS, pem, key.public, tuple(parties))


def export(folder: Path, town: Town, group: int) -> TrustDomain:
    """Sign and export both journals, `group` entries a checkpoint."""
    journals = {role: Ed25519PrivateKey.generate() for role in JOURNALS}
    trust = trust_in(town, journals)
    for role, key in journals.items():
        data = [entry.to_bytes() for entry in town.journals[Journal(role.value)]]
        tree, origin = Tree(map(leaf_hash, data)), trust.origin(role)
        notes = [
            Checkpoint(origin, size, tree.root(size)).sign(key)
            for size in [*range(group, len(data), group), len(data)]
        ]
        source = Source(
            VerifierKey.of(origin, key),
            notes[-1],
            lambda _, notes=notes: notes,
            lambda start, stop, data=data: data[start:stop],
        )
        write_export(folder / role.value, source)
    return trust


def timed(what: str, run: Callable[[], int]) -> Figure:
    """Measure one way to read an export."""
    begin = time.perf_counter()
    entries = run()
    return Figure(what, entries, time.perf_counter() - begin)


def structure(folder: Path, trust: TrustDomain) -> int:
    """Read both journals, and nothing of what they say."""
    return sum(
        sum(1 for _ in read_export(folder / r.value, trust.verifiers(r)).entries())
        for r in JOURNALS
    )


def report(folder: Path, trust: TrustDomain, *, signatures: bool) -> int:
    """Verify an export; it must be clean."""
    found = verify(folder, trust, signatures=signatures)
    found.check()
    return found.entries


def measure(calls: int, group: int) -> list[Figure]:
    """Make an export, and verify it in every way."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        trust = export(folder, make(calls, signing=True), group)
        gc.freeze()  # what made it up is not the auditor's
        return [
            timed("structure", lambda: structure(folder, trust)),
            timed("all, believed", lambda: report(folder, trust, signatures=False)),
            timed("all, verified", lambda: report(folder, trust, signatures=True)),
        ]


def main() -> None:
    """Run from the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--calls", type=int, default=5_000, help="calls to make up")
    parser.add_argument("--group", type=int, default=64, help="entries a checkpoint")
    options = parser.parse_args()
    figures = measure(options.calls, options.group)
    show(figures, options.json)


if __name__ == "__main__":
    main()

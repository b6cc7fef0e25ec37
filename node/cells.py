r"""How an auditor asks a custodian to open ciphertexts, and how it is told.

Two files of canonical JSON, handed over by whatever carries files::

    asked     {"v": "safehouse/asked-cells/1", "payload", "key", "signature"}
    payload   `contracts.cells.Cells`, signed by the auditor under Tag.CELLS

    answer    {"v": "safehouse/answered-cells/1", "payload", "key", "signature"}
    payload   {"v": "safehouse/cells-answer/1", "custodian", "to", "cells": hash,
               "box": HPKE to the auditor's key, info = framed(Tag.CELLS_OPENED, hash)}
    signature by the custodian, under Tag.CELLS_OPENED

The question is signed so that nobody else has plaintext opened; the answer is sealed
because it is plaintext, and signed because it may be evidence.
"""

from typing import Final

from contracts.cells import Cells, read_openings, write_openings
from contracts.holdings import Version
from node.domain import Role, TrustDomain
from node.errors import DocumentConflict, RoleRefused
from node.keys import AuditorKeys, CustodianKeys, unsealed
from protocols import hpke
from protocols.blocks import Opening
from protocols.call import HASH_BYTES
from protocols.canon import Reader, Tag, dumps, framed, loads
from protocols.sign import Signed, sign, verify

ASKED: Final = "safehouse/asked-cells/1"
ANSWERED: Final = "safehouse/answered-cells/1"
VERSION: Final = "safehouse/cells-answer/1"


def sign_question(cells: Cells, held: AuditorKeys) -> bytes:
    """Sign a question."""
    signed = sign(Tag.CELLS, cells.to_bytes(), held.sign)
    return dumps({"v": ASKED, **signed.to_json()})


def read_question(data: bytes, trust: TrustDomain) -> Cells:
    """Read a question; raises `ProtocolError` unless an auditor signed it."""
    signed = Signed.from_json(Reader(loads(data, ASKED)))
    cells = Cells.parse(signed.payload)
    verify(Tag.CELLS, signed, trust.party(cells.auditor, Role.AUDITOR).sign)
    return cells


def seal_answer(
    cells: Cells,
    opened: list[Opening],
    custodian: str,
    held: CustodianKeys,
    trust: TrustDomain,
) -> bytes:
    """Seal what was opened to the auditor that asked."""
    to = trust.party(cells.auditor, Role.AUDITOR)
    info = framed(Tag.CELLS_OPENED, cells.hash)
    payload = dumps(
        {
            "v": VERSION,
            "custodian": custodian,
            "to": to.id,
            "cells": cells.hash.hex(),
            "box": hpke.seal(to.hpke[0], info, write_openings(opened)).hex(),
        }
    )
    signed = sign(Tag.CELLS_OPENED, payload, held.sign)
    return dumps({"v": ANSWERED, **signed.to_json()})


def open_answer(
    data: bytes, cells: Cells, version: Version, held: AuditorKeys, trust: TrustDomain
) -> tuple[Opening, ...]:
    """Open the answer to one's own question.

    Raises `ProtocolError` for what the dataset's custodian did not sign or does not
    open, `RoleRefused` for another party's, and `DocumentConflict` for the answer to
    another question.
    """
    signed = Signed.from_json(Reader(loads(data, ANSWERED)))
    reader = Reader(loads(signed.payload, VERSION))
    custodian, to = reader.text("custodian"), reader.text("to")
    named, box = reader.hex("cells", HASH_BYTES), reader.hex("box")
    reader.close()
    verify(Tag.CELLS_OPENED, signed, trust.party(custodian, Role.CUSTODIAN).sign)
    if custodian != version.dataset.custodian:
        raise RoleRefused(f"dataset `{version.dataset.name}` is not `{custodian}`'s")
    if to != cells.auditor:
        raise RoleRefused(f"openings for `{to}`", "ask for those sealed to you")
    if named != cells.hash:
        raise DocumentConflict("the openings answer another question")
    info = framed(Tag.CELLS_OPENED, cells.hash)
    return read_openings(unsealed(held, lambda key: hpke.unseal(key, info, box)))

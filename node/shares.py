r"""How one auditor hands its share of a call's seed to another.

A file of canonical JSON that only the other one can open, and that cannot have
been made by anybody else::

    {"v": "safehouse/handed-share/1", "payload", "key", "signature"}
    payload   {"v": "safehouse/seed-share/1", "auditor", "to", "call",
               "box": HPKE to the other's key, info = framed(Tag.SEED_SHARE, call)}
    signature by the auditor, under Tag.SEED_SHARE

Whoever opens it has both shares, replays the call and forgets them.
"""

from typing import Final

from contracts.transcript import Share
from node.domain import Party, Role, TrustDomain
from node.errors import RoleRefused
from node.keys import AuditorKeys, unsealed
from protocols import hpke
from protocols.call import HASH_BYTES
from protocols.canon import Reader, Tag, dumps, framed, loads
from protocols.sign import Signed, sign, verify

FILE: Final = "safehouse/handed-share/1"
VERSION: Final = "safehouse/seed-share/1"


def hand_over(share: Share, held: AuditorKeys, to: Party) -> bytes:
    """Seal a share to the auditor `to`; raises `RoleRefused` for anybody else."""
    if to.role is not Role.AUDITOR or to.id == share.auditor:
        raise RoleRefused(f"`{to.id}` is not the other auditor")
    box = hpke.seal(to.hpke[0], framed(Tag.SEED_SHARE, share.call), share.share)
    payload = dumps(
        {
            "v": VERSION,
            "auditor": share.auditor,
            "to": to.id,
            "call": share.call.hex(),
            "box": box.hex(),
        }
    )
    signed = sign(Tag.SEED_SHARE, payload, held.sign)
    return dumps({"v": FILE, **signed.to_json()})


def take_over(data: bytes, held: AuditorKeys, me: str, trust: TrustDomain) -> Share:
    """Open a share that was handed to the auditor `me`.

    Raises `ProtocolError` for a file that is not what an auditor of this domain
    signed or does not open, and `RoleRefused` for one that is for another.
    """
    signed = Signed.from_json(Reader(loads(data, FILE)))
    reader = Reader(loads(signed.payload, VERSION))
    auditor, to = reader.text("auditor"), reader.text("to")
    call, box = reader.hex("call", HASH_BYTES), reader.hex("box")
    reader.close()
    verify(Tag.SEED_SHARE, signed, trust.party(auditor, Role.AUDITOR).sign)
    if to != me:
        raise RoleRefused(f"a share for `{to}`", "ask for one that is sealed to you")
    info = framed(Tag.SEED_SHARE, call)
    return Share(auditor, call, unsealed(held, lambda key: hpke.unseal(key, info, box)))

r"""Who a record is about: canonical identifiers and the names made of them.

================  ==========================================  ==================
type              identifier                                  canonical form
================  ==========================================  ==================
`cn-uscc`         统一社会信用代码, GB 32100-2015               18 characters
`cn-resident-id`  公民身份号码, GB 11643-1999                   17 digits, 0-9 or X
`opaque`          whatever the base register of a programme   1..64 printable
                  uses                                        characters, NFC
================  ==========================================  ==================

People type full-width digits, spaces and a small x.  The first two types are
brought to half width (Unicode NFKC), capital letters and no spaces; whatever is
not an identifier then is refused.  So one subject has one canonical form, and
one reference::

    subject_ref = HMAC-SHA256(pepper, type | 0x00 | canonical id)

The pepper is held by custodians, banks and registrars.  House and authority
keep only a pseudonym, drawn at random and found by a keyed handle of the reference
(`node.names`), and signed documents name the subject by a salted commitment to it.

The check digits are those of python-stdnum.  Two of its checks are ours instead:

- it reads the place of issue in a table that lacks valid ones (810000, 830000
  and districts created since).  Whether a number exists is for the base
  register to say; we check form, birth date and check digit;
- it wants digits in the first two places of a 统一社会信用代码, but N (farmers'
  collectives), Y (others) and A are in use.

>>> canonical_id(SubjectType.CN_RESIDENT_ID, " １４０１２０ 19790101 0008")
'140120197901010008'
>>> canonical_id(SubjectType.CN_USCC, "9137 0811 0000 0000 01")
Traceback (most recent call last):
    ...
contracts.errors.SubjectInvalid: `subject_id`: the check digit is wrong
>>> opaque = canonical_id(SubjectType.OPAQUE, "gc-0001")
>>> subject_ref(bytes(32), SubjectType.OPAQUE, opaque).hex()[:16]
'2c3c52bae70a5297'
"""

import hmac
import re
import unicodedata
from datetime import date
from enum import StrEnum
from typing import NewType

from stdnum.cn import ric, uscc

from contracts.errors import SubjectInvalid
from protocols.canon import Tag, digest, framed

CanonicalId = NewType("CanonicalId", str)
SubjectRef = NewType("SubjectRef", bytes)  # 32 bytes, holders of the pepper only
Commitment = NewType("Commitment", bytes)  # 32 bytes, in signed documents
Handle = NewType("Handle", bytes)  # 32 bytes, by which one node finds its pseudonym
Pseudonym = NewType("Pseudonym", bytes)  # 32 bytes, one node's own

KEY_BYTES = 32
SALT_BYTES = 32
MAX_INPUT = 200  # characters looked at
MAX_OPAQUE = 64  # characters

# GB 32100-2015: 登记管理部门 1, 机构类别 1, 行政区划 6 digits, 主体标识码 9, 校验码 1;
# no I, O, S, V, Z.
_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_RESIDENT_ID = re.compile(r"[1-9][0-9]{16}[0-9X]")
_OLD_RESIDENT_ID = re.compile(r"[1-9][0-9]{14}")
_FIRST_BIRTH_YEAR = 1850  # nobody with a number was born before


class SubjectType(StrEnum):
    """What kind of identifier names a subject."""

    CN_USCC = "cn-uscc"
    CN_RESIDENT_ID = "cn-resident-id"
    OPAQUE = "opaque"


def canonical_id(subject_type: SubjectType, text: str) -> CanonicalId:
    """Bring an identifier to its one form; raises `SubjectInvalid`."""
    if len(text) > MAX_INPUT:
        raise SubjectInvalid(f"expected at most {MAX_INPUT} characters")
    match subject_type:
        case SubjectType.CN_USCC:
            return _uscc(_half_width(text))
        case SubjectType.CN_RESIDENT_ID:
            return _resident_id(_half_width(text))
        case SubjectType.OPAQUE:
            return _opaque(unicodedata.normalize("NFC", text.strip()))


def subject_ref(
    pepper: bytes, subject_type: SubjectType, canonical: CanonicalId
) -> SubjectRef:
    """Name a subject among the holders of the pepper.

    `canonical` comes from `canonical_id`: a second spelling would be a second
    subject.
    """
    _check_key("pepper", pepper)
    message = subject_type.value.encode() + b"\x00" + canonical.encode()
    return SubjectRef(hmac.digest(pepper, message, "sha256"))


def commitment(ref: SubjectRef | bytes, salt: bytes) -> Commitment:
    """Commit to a subject, for a signed document; the salt is fresh each time."""
    if len(salt) != SALT_BYTES:
        raise RuntimeError(f"a salt is {SALT_BYTES} bytes, not {len(salt)}")
    return Commitment(digest(Tag.SUBJECT, ref, salt))


def handle(own_key: bytes, ref: SubjectRef | bytes) -> Handle:
    """Make that by which one node finds what it calls a subject.

    Whoever has the stores of both nodes and neither key cannot find a subject in
    them.  A node can, for a subject it is asked about: it is handed the reference
    with the question, and reads the other's name in the entry that the other proves
    to it, the intent or the permit.
    """
    _check_key("key", own_key)
    return Handle(hmac.digest(own_key, framed(Tag.PSEUDONYM, ref), "sha256"))


def _half_width(text: str) -> str:
    """Undo what input methods and spreadsheets do to a number."""
    return "".join(unicodedata.normalize("NFKC", text).split()).upper()


def _uscc(text: str) -> CanonicalId:
    if not _USCC.fullmatch(text):
        raise SubjectInvalid(
            "expected 18 digits and capital letters of 统一社会信用代码",
            "the letters I, O, S, V and Z are not used",
        )
    # GB 32100-2015 section 5: modulus 31
    if uscc.calc_check_digit(text) != text[-1]:
        raise SubjectInvalid("the check digit is wrong", "compare all 18 characters")
    return CanonicalId(text)


def _resident_id(text: str) -> CanonicalId:
    if _OLD_RESIDENT_ID.fullmatch(text):
        raise SubjectInvalid(
            "expected 18 digits of 公民身份号码, got the old 15",
            "ask for the 18-digit number: two people may share the old one",
        )
    if not _RESIDENT_ID.fullmatch(text):
        raise SubjectInvalid("expected 17 digits and a digit or X of 公民身份号码")
    # GB 11643-1999 section 5: ISO 7064 MOD 11-2
    if ric.calc_check_digit(text) != text[-1]:
        raise SubjectInvalid("the check digit is wrong", "compare all 18 digits")
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        born = None
    if born is None or born.year < _FIRST_BIRTH_YEAR:
        raise SubjectInvalid("digits 7 to 14 are not a birth date")
    return CanonicalId(text)


def _opaque(text: str) -> CanonicalId:
    if (
        not 1 <= len(text) <= MAX_OPAQUE
        or not text.isprintable()
        or any(letter.isspace() for letter in text)
    ):
        raise SubjectInvalid(
            f"expected 1 to {MAX_OPAQUE} printable characters without spaces"
        )
    return CanonicalId(text)


def _check_key(name: str, key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise RuntimeError(f"a {name} is {KEY_BYTES} bytes, not {len(key)}")

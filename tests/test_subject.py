"""One subject has one canonical id, and only that (TESTS 48)."""

import csv
import hashlib
import hmac
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import SubjectInvalid
from contracts.subject import (
    SubjectType,
    canonical_id,
    commitment,
    handle,
    subject_ref,
)
from protocols.canon import Tag, digest, framed

VECTORS = Path(__file__).parent / "vectors/cn_identifiers"
CASES = list(
    csv.DictReader((VECTORS / "resident_id_cases.csv").read_text().splitlines())
)
USCC = SubjectType.CN_USCC
RESIDENT = SubjectType.CN_RESIDENT_ID
OPAQUE = SubjectType.OPAQUE
PEPPER = bytes(range(32))


def refusal(subject_type: SubjectType, text: str) -> SubjectInvalid:
    """Return the error that `text` ends in."""
    with pytest.raises(SubjectInvalid) as caught:
        canonical_id(subject_type, text)
    return caught.value


def test_real_registrations_are_accepted() -> None:
    """200 codes found online, one of them of 机构编制."""
    codes = (VECTORS / "uscc_valid.txt").read_text().split()
    assert len(codes) == 200
    for code in codes:
        assert canonical_id(USCC, code) == code


def test_one_wrong_character_is_noticed() -> None:
    """The check digit of a 统一社会信用代码 finds every single mistake."""
    good = "91152201078377449P"
    for place in range(18):
        for letter in "0123456789ABCDEFGHJKLMNPQRTUWXY":
            bad = good[:place] + letter + good[place + 1 :]
            if bad != good:
                refusal(USCC, bad)


def test_codes_of_farmers_collectives_are_accepted() -> None:
    """First places N and Y are in use; python-stdnum refuses them by form."""
    code = "N2370811MF1234567"
    accepted = []
    for last in "0123456789ABCDEFGHJKLMNPQRTUWXY":
        try:
            accepted.append(canonical_id(USCC, code + last))
        except SubjectInvalid:
            continue
    assert len(accepted) == 1


@pytest.mark.parametrize(
    "row", CASES, ids=lambda row: f"{row['id_number']} strict={row['strict']}"
)
def test_resident_ids_of_another_library(row: dict[str, str]) -> None:
    """We agree with its lenient mode, but for the old 15 digits."""
    number = row["id_number"]
    if row["strict"] == "False" and row["valid"] == "True" and len(number) == 18:
        assert canonical_id(RESIDENT, number) == number
    elif row["strict"] == "False":
        refusal(RESIDENT, number)


def test_the_old_number_is_refused_with_a_hint() -> None:
    """15 digits can belong to two people."""
    error = refusal(RESIDENT, "610104620927690")
    assert str(error) == (
        "`subject_id`: expected 18 digits of 公民身份号码, got the old 15"
    )
    assert error.hint.startswith("ask for the 18-digit number")
    assert error.field == "subject_id"


@pytest.mark.parametrize(
    "text",
    [
        "４４０４０１１９５８０１０１０００Ｘ",
        "44040119580101000x",
        " 440401 19580101 000X\n",
        "440401　19580101　000ｘ",
    ],
)
def test_what_people_type_is_normalised(text: str) -> None:
    """Full width, spaces and a small x are the same number."""
    assert canonical_id(RESIDENT, text) == "44040119580101000X"


@pytest.mark.parametrize(
    ("crime", "text"),
    [
        ("wrong check digit", "440308199901101513"),
        ("no such day", "440308199902301512"),
        ("letters", "44030819990110151A"),
        ("too short", "44030819990110"),
        ("too long", "4403081999011015120"),
        ("empty", ""),
        ("zero width space", "44040119580101000\u200bX"),
        ("hyphens", "440401-19580101-000X"),
        ("first place 0", "040308199901101512"),
        ("x inside", "4403081999011015X2"),
        ("flood", "4" * 100_000),
    ],
)
def test_bad_resident_ids_are_refused_without_being_repeated(
    crime: str, text: str
) -> None:
    """The error goes to logs; the number does not."""
    error = refusal(RESIDENT, text)
    assert not text or text not in str(error) + error.hint, crime


def test_a_date_that_does_not_exist_is_refused_even_with_a_good_check_digit() -> None:
    """30 February and the year 1234 have check digits too."""
    for digits in ("44030819990230151", "44030812340110151"):
        messages = {str(refusal(RESIDENT, digits + last)) for last in "0123456789X"}
        assert "`subject_id`: digits 7 to 14 are not a birth date" in messages


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a\u3000b", "a\nb", "a\x00", "a\u200b", "\ud800", "x" * 65]
)
def test_opaque_ids_are_printable_and_short(text: str) -> None:
    """Nothing invisible names a subject."""
    refusal(OPAQUE, text)


def test_an_opaque_id_keeps_its_letters() -> None:
    """Case and width may mean something there; only composition is unified."""
    assert canonical_id(OPAQUE, " gc-0001 ") == "gc-0001"
    assert canonical_id(OPAQUE, "Ａa") == "Ａa"
    assert canonical_id(OPAQUE, "é") == canonical_id(OPAQUE, "e\u0301")


@given(st.sampled_from(SubjectType), st.text(max_size=40))
def test_a_canonical_id_is_its_own_canonical_form(
    subject_type: SubjectType, text: str
) -> None:
    """Otherwise one subject would have two references."""
    try:
        canonical = canonical_id(subject_type, text)
    except SubjectInvalid:
        return
    assert canonical_id(subject_type, canonical) == canonical
    assert unicodedata.is_normalized("NFC", canonical)


def test_a_reference_is_the_hmac_of_type_and_id() -> None:
    """PROTOCOL 12, literally; the type separates equal ids."""
    canonical = canonical_id(OPAQUE, "440308199901101512")
    expected = hmac.new(PEPPER, b"opaque\x00440308199901101512", hashlib.sha256)
    assert subject_ref(PEPPER, OPAQUE, canonical) == expected.digest()
    assert subject_ref(PEPPER, RESIDENT, canonical) != expected.digest()


def test_commitment_and_handle_are_domain_separated() -> None:
    """A handle is a keyed hash of the framed reference."""
    ref = subject_ref(PEPPER, OPAQUE, canonical_id(OPAQUE, "gc-0001"))
    assert commitment(ref, bytes(32)) == digest(Tag.SUBJECT, ref, bytes(32))
    expected = hmac.new(PEPPER, framed(Tag.PSEUDONYM, ref), hashlib.sha256)
    assert handle(PEPPER, ref) == expected.digest()


def test_short_keys_and_salts_are_our_caller_s_mistake() -> None:
    """An empty pepper would make references that anybody computes."""
    canonical = canonical_id(OPAQUE, "gc-0001")
    with pytest.raises(RuntimeError, match="a pepper is 32 bytes, not 0"):
        subject_ref(b"", OPAQUE, canonical)
    with pytest.raises(RuntimeError, match="a key is 32 bytes"):
        handle(b"k", bytes(32))
    with pytest.raises(RuntimeError, match="a salt is 32 bytes"):
        commitment(bytes(32), b"")

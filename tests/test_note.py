"""Signed notes, checkpoints, proofs: C2SP's examples, and every way to bend them.

Cases 28, 29, 30.
"""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import FormatError, ProofInvalid, SignatureInvalid
from protocols.note import (
    Checkpoint,
    LogProof,
    VerifierKey,
    open_note,
    sign_note,
    split_view,
)
from protocols.tlog import Tree, leaf_hash

VECTORS = Path(__file__).parent / "vectors/signed_note"
CHECKPOINTS = json.loads((VECTORS / "checkpoint.json").read_text())
EXAMPLE = (VECTORS / "example.txt").read_text()
EXAMPLE_KEY = (VECTORS / "example.vkey").read_text().strip()

SIGNER = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
ORIGIN = "rencheng.example/house"
KEY = VerifierKey.of(ORIGIN, SIGNER)
ROOT = bytes(range(32))
NOTE = Checkpoint(ORIGIN, 7, ROOT).sign(SIGNER)


# Signed notes


def test_example_of_the_specification() -> None:
    """The note and key printed in C2SP signed-note agree with ours."""
    key = VerifierKey.parse(EXAMPLE_KEY)
    assert str(key) == EXAMPLE_KEY
    assert key.name == "example.com/foo"
    assert open_note(EXAMPLE, [key]) == "This is an example message.\n"


def test_edited_text_is_refused() -> None:
    """Any change of the text breaks the signature of the known key."""
    with pytest.raises(SignatureInvalid, match="is not valid"):
        open_note(EXAMPLE.replace("an", "no"), [VerifierKey.parse(EXAMPLE_KEY)])


def test_nobody_is_trusted_by_default() -> None:
    """Without keys there is no valid note."""
    with pytest.raises(SignatureInvalid, match="by no known key, only by"):
        open_note(EXAMPLE, [])
    with pytest.raises(SignatureInvalid, match="by no known key"):
        Checkpoint.open(NOTE, [])


def test_signatures_by_unknown_keys_are_ignored() -> None:
    """Witnesses and coming keys may sign too, under any name and of any type."""
    other_key_same_name = VerifierKey.of(ORIGIN, STRANGER)
    lines = [
        f"— {ORIGIN} {b64encode(other_key_same_name.id + bytes(64)).decode()}",
        f"— witness.example {b64encode(bytes(80)).decode()}",
        f"— other.example {b64encode(KEY.id + bytes(64)).decode()}",
    ]
    note = NOTE + "".join(f"{line}\n" for line in lines)
    assert Checkpoint.open(note, [KEY]).size == 7
    note = note.replace("\n\n", "\n\n" + lines[1] + "\n")
    assert Checkpoint.open(note, [KEY]).root == ROOT


def test_a_bad_signature_of_a_known_key_condemns_the_note() -> None:
    """A good signature beside it does not help."""
    old = VerifierKey.of(ORIGIN, STRANGER)
    note = NOTE + f"— {ORIGIN} {b64encode(old.id + bytes(64)).decode()}\n"
    assert Checkpoint.open(note, [KEY]).size == 7
    with pytest.raises(SignatureInvalid, match="is not valid"):
        Checkpoint.open(note, [KEY, old])


def test_old_and_new_key_verify_their_own_notes() -> None:
    """Case 37: after a rotation both keys are named, each for its range."""
    new = VerifierKey.of(ORIGIN, STRANGER)
    later = Checkpoint(ORIGIN, 8, ROOT).sign(STRANGER)
    assert [Checkpoint.open(note, [KEY, new]).size for note in (NOTE, later)] == [7, 8]


SIGNATURE_LINE = NOTE.split("\n\n")[1]
MALFORMED = {
    "no-signature": "text\n",
    "no-empty-line": NOTE.replace("\n\n", "\n"),
    "no-newline-at-end": NOTE[:-1],
    "empty": "",
    "no-text": "\n" + SIGNATURE_LINE,
    "hyphen-for-dash": NOTE.replace("— ", "- "),
    "two-spaces": NOTE.replace("— ", "—  "),
    "trailing-space": NOTE[:-1] + " \n",
    "windows-lines": NOTE.replace("\n", "\r\n"),
    "tab": NOTE.replace("7\n", "7\t\n"),
    "nul": NOTE.replace("7\n", "7\0\n"),
    "lone-surrogate": NOTE.replace("7\n", "7\ud800\n"),
    "name-missing": NOTE.replace(f"— {ORIGIN}", "— "),
    "name-with-plus": NOTE.replace(f"— {ORIGIN}", "— a+b"),
    "name-with-wide-space": NOTE.replace(f"— {ORIGIN}", "— a\u3000b"),
    "base64-without-padding": NOTE.replace("=\n", "\n").replace("=\n", "\n"),
    "base64-with-left-over-bits": NOTE[:-3] + "B=\n",
    "base64-url": NOTE[:-20] + "_" + NOTE[-19:],
    "signature-of-4-bytes": NOTE.split("— ")[0]
    + f"— {ORIGIN} {b64encode(KEY.id).decode()}\n",
    "signed-twice": NOTE + SIGNATURE_LINE,
    "too-many-signatures": NOTE + f"— other {b64encode(bytes(68)).decode()}\n" * 64,
    "junk-after": NOTE + "junk\n",
}


@pytest.mark.parametrize("crime", MALFORMED)
def test_malformed_note(crime: str) -> None:
    """One malformed line makes the whole note worthless."""
    with pytest.raises(FormatError):
        open_note(MALFORMED[crime], [KEY])


def test_text_may_hold_empty_lines() -> None:
    """The last empty line separates."""
    text = "Ognuno sta solo sul cuor della terra:\n\ned è subito sera.\n"
    assert open_note(sign_note(text, ORIGIN, SIGNER), [KEY]) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("530d903a", "530D903A"),
        EXAMPLE_KEY.replace("foo", "bar"),
        EXAMPLE_KEY.replace("+Aek", "+Auk"),
        EXAMPLE_KEY[:-4],
        EXAMPLE_KEY + "\n",
        EXAMPLE_KEY.removeprefix("example.com/foo"),
    ],
)
def test_malformed_verifier_key(text: str) -> None:
    """Name, id and key belong together; other types of key are refused."""
    with pytest.raises(FormatError):
        VerifierKey.parse(text)


def test_only_whole_lines_are_signed() -> None:
    """Our own caller must not sign what no reader would read."""
    for text in ("no newline", "tab\t\n"):
        with pytest.raises(RuntimeError):
            sign_note(text, ORIGIN, SIGNER)


# Checkpoints


def test_checkpoint_of_sumdb() -> None:
    """The tree text of golang.org/x/mod reads and writes the same."""
    text = CHECKPOINTS["sumdb_tree"]["tree_text"]
    checkpoint = Checkpoint.parse(text)
    assert checkpoint.size == 123456789012
    assert checkpoint.to_text() == text


@pytest.mark.parametrize("case", CHECKPOINTS["valid"])
def test_good_checkpoint_vectors(case: dict[str, str | int]) -> None:
    """Documented exceptions: a root is 32 bytes; extension lines are refused."""
    text, rest = str(case["msg"]), str(case["rest"])
    with pytest.raises(FormatError, match=r"expected 3 lines|hash of 32 bytes"):
        Checkpoint.parse(text)
    text = text.removesuffix(rest).replace(
        b64encode(str(case["hash"]).encode()).decode(), b64encode(ROOT).decode()
    )
    assert Checkpoint.parse(text) == Checkpoint(
        str(case["origin"]), int(case["size"]), ROOT
    )


@pytest.mark.parametrize(("text", "crime"), CHECKPOINTS["invalid"])
def test_bad_checkpoint_vectors(text: str, crime: str) -> None:
    """Every bad vector is refused."""
    with pytest.raises(FormatError):
        Checkpoint.parse(text)
    assert crime


@pytest.mark.parametrize("size", ["07", "+7", " 7", "7 ", "７", "-0", "", "9" * 19])
def test_size_has_one_spelling(size: str) -> None:
    """ASCII decimal without leading zeroes, below 2^63."""
    with pytest.raises(FormatError, match="decimal number"):
        Checkpoint.parse(NOTE.split("\n\n")[0].replace("\n7\n", f"\n{size}\n") + "\n")


def test_a_key_signs_for_its_own_origin_only() -> None:
    """A checkpoint of another log, signed by a key we know, is refused."""
    other = Checkpoint("other.example/log", 7, ROOT)
    note = sign_note(other.to_text(), ORIGIN, SIGNER)
    with pytest.raises(ProofInvalid, match="expected `rencheng"):
        Checkpoint.open(note, [KEY])
    second = VerifierKey.of("other.example/log", STRANGER)
    with pytest.raises(SignatureInvalid, match="by no known key"):
        Checkpoint.open(note, [KEY, second])


def test_split_view() -> None:
    """Case 28: two roots for one size come back as evidence, nothing else does."""
    fork = Checkpoint(ORIGIN, 7, bytes(32)).sign(SIGNER)
    later = Checkpoint(ORIGIN, 8, bytes(32)).sign(SIGNER)
    assert split_view([NOTE, later, NOTE], [KEY]) is None
    assert split_view([later, NOTE, fork], [KEY]) == (NOTE, fork)
    with pytest.raises(SignatureInvalid):
        split_view([NOTE, Checkpoint(ORIGIN, 7, bytes(32)).sign(STRANGER)], [KEY])


# Proofs

ENTRIES = [b"entry %d" % number for number in range(13)]
TREE = Tree(map(leaf_hash, ENTRIES))


def prove(index: int, size: int) -> LogProof:
    """Prove an entry in a log of `size` entries."""
    note = Checkpoint(ORIGIN, size, TREE.root(size)).sign(SIGNER)
    return LogProof(index, tuple(TREE.inclusion(index, size)), note)


@given(st.integers(1, 13), st.data(), st.binary(max_size=9))
def test_proof_survives_the_trip(size: int, data: st.DataObject, extra: bytes) -> None:
    """Writing and reading a proof changes nothing, and it verifies."""
    index = data.draw(st.integers(0, size - 1))
    proof = replace(prove(index, size), extra=extra)
    assert LogProof.parse(proof.to_text()) == proof
    assert proof.verify(ENTRIES[index], [KEY]).root == TREE.root(size)


def test_proof_of_another_size() -> None:
    """Case 29: the size comes from the checkpoint, which no prover can edit."""
    proof = prove(0, 7)
    edited = replace(proof, checkpoint=proof.checkpoint.replace("\n7\n", "\n8\n"))
    with pytest.raises(SignatureInvalid):
        edited.verify(ENTRIES[0], [KEY])


PROOF = prove(4, 13)
FORGED = {
    "another-entry": lambda: PROOF.verify(ENTRIES[5], [KEY]),
    "another-index": lambda: replace(PROOF, index=5).verify(ENTRIES[4], [KEY]),
    "index-is-size": lambda: replace(PROOF, index=13).verify(ENTRIES[4], [KEY]),
    "hash-missing": lambda: replace(PROOF, hashes=PROOF.hashes[:-1]).verify(
        ENTRIES[4], [KEY]
    ),
    "hash-more": lambda: replace(PROOF, hashes=(*PROOF.hashes, ROOT)).verify(
        ENTRIES[4], [KEY]
    ),
    "hash-short": lambda: replace(
        PROOF, hashes=(PROOF.hashes[0][:-1], *PROOF.hashes[1:])
    ).verify(ENTRIES[4], [KEY]),
    "earlier-checkpoint": lambda: replace(
        PROOF, checkpoint=prove(4, 12).checkpoint
    ).verify(ENTRIES[4], [KEY]),
}


@pytest.mark.parametrize("crime", FORGED)
def test_forged_proof(crime: str) -> None:
    """Case 29: extra, missing, short and moved hashes are refused."""
    assert PROOF.verify(ENTRIES[4], [KEY]).size == 13
    with pytest.raises(ProofInvalid):
        FORGED[crime]()


TEXT = replace(PROOF, extra=b"xy").to_text()
MALFORMED_PROOFS = {
    "other-version": TEXT.replace("@v1", "@v2"),
    "no-index": TEXT.replace("index 4\n", ""),
    "index-first": TEXT.replace("extra eHk=\nindex 4", "index 4\nextra eHk="),
    "leading-zero": TEXT.replace("index 4", "index 04"),
    "extra-twice": TEXT.replace("extra eHk=\n", "extra eHk=\n" * 2),
    "extra-empty": TEXT.replace("extra eHk=", "extra "),
    "no-checkpoint": TEXT.split("\n\n")[0],
    "hash-of-31-bytes": TEXT.replace("index 4\n", f"index 4\n{'A' * 42}==\n"),
    "too-many-hashes": TEXT.replace("index 4\n", "index 4\n" + ("A" * 43 + "=\n") * 64),
    "windows-lines": TEXT.replace("\n", "\r\n"),
    "empty": "",
}


@pytest.mark.parametrize("crime", MALFORMED_PROOFS)
def test_malformed_proof(crime: str) -> None:
    """Only the one right spelling of a proof is read."""
    assert LogProof.parse(TEXT).extra == b"xy"
    with pytest.raises(FormatError):
        LogProof.parse(MALFORMED_PROOFS[crime])

"""Portable ratings 评价结果互认: issue, present, verify, status, revoke, show."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)
from rich.console import Console

from contracts import rating
from contracts.rating import STATUS_AGE_S, Rating
from node import clock, durable
from node.cli.bank import said
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.domain import Role
from node.errors import ConfigInvalid
from node.keys import BankKeys
from node.rating_client import DAYS, RatingClient

HASH_BYTES: Final = 32
MOST_LIST: Final = 1 << 23  # bytes
HOUR_S: Final = 3600

app = typer.Typer(
    help="Answers that another bank computes again 评价结果互认.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(help="The rating, a file.")]
Out = Annotated[Path, typer.Option(help="Where to write it.")]


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="rating")


@app.command()
def issue(
    call: Annotated[str, typer.Argument(help="The call, as `score` names it.")],
    audience: Annotated[
        str, typer.Option("--for", help="Id of the bank that may read it.")
    ],
    out: Out,
    days: Annotated[
        int, typer.Option(help="How long it is valid; at most 90 from the call.")
    ] = DAYS,
    holder: Annotated[
        Path | None,
        typer.Option(help="The subject's Ed25519 public key, PEM, if it has one."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a rating of an answer, for one other bank.

    That bank computes the outcome again from what house and authority signed, and need
    not believe this one alone. The house lets it be made only where the other bank
    could ask the same itself, and journals it: the subject sees it in its history. Only
    grades travel, no vetoes, joint scores or outcomes of jobs. That a rating is made
    tells the house that the answer was a grade. The same command again writes the same
    rating, with the end that it had: after a crash, or when the house replaced a key.

    Example: safehouse rating issue
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 --for lsbank
    --out gc-0001.rating
    """
    named = _hash(call)
    key = b"" if holder is None else _public(holder)
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with RatingClient(settings, held, trust) as bank:
        text = bank.issue(named, audience, days=days, holder=key)
    durable.replace(out, text.encode(), private=True)
    end = _time(_number(rating.peek(text)["exp"]))
    document = {"written": str(out), "audience": audience, "not_after": end}

    def tell(to: Console) -> None:
        to.print(f"written  {out}, {len(text)} bytes")
        to.print(f"for      {audience}, until {end}")

    show(document, as_json=as_json, text=tell)


@app.command()
def present(
    file: File,
    key: Annotated[Path, typer.Option(help="The subject's Ed25519 key, PEM.")],
    audience: Annotated[str, typer.Option("--for", help="Id of the bank that reads.")],
    nonce: Annotated[str, typer.Option(help="The word that the bank gave.")],
    out: Out,
    as_json: AsJson = False,
) -> None:
    """Sign a rating with the subject's key, for a bank's nonce.

    For subjects with a key: their ratings are not read without it. Good for five
    minutes. It needs no configuration.

    Example: safehouse rating present gc-0001.rating --key subject.pem --for lsbank
    --nonce 4711 --out gc-0001.shown
    """
    text = _read(file, rating.MOST_TEXT)
    now_s = clock.now_ms() // 1000
    signed = rating.bind(text, audience, nonce, now_s, _private(key))
    durable.replace(out, signed.encode(), private=True)
    document = {"written": str(out), "audience": audience}
    show(document, as_json=as_json, text=lambda to: to.print(f"written  {out}"))


@app.command()
def verify(
    file: File,
    subject: Annotated[
        str, typer.Option(help="The subject's identifier: whom this bank deals with.")
    ],
    status: Annotated[
        Path | None,
        typer.Option(help="A status list fetched before: nobody is asked."),
    ] = None,
    nonce: Annotated[
        str, typer.Option(help="The word given to a subject with a key.")
    ] = "",
    hours: Annotated[
        int, typer.Option(help="How old the status list may be, hours.")
    ] = STATUS_AGE_S // HOUR_S,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compute another bank's rating again, and see that it stands.

    Believes nobody but the keys of the trust domain. Off-line with --status; without it
    the house is asked for the list of all ratings, not for this one.

    Example: safehouse rating verify gc-0001.rating --subject gc-0001
    """
    text = _read(file, rating.MOST_TEXT)
    listed = "" if status is None else _read(status, MOST_LIST)
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with RatingClient(settings, held, trust) as bank:
        found = bank.read(
            text, subject, status=listed, nonce=nonce, most_age_s=hours * HOUR_S
        )
    age_s = clock.now_ms() // 1000 - found.status_s
    show(
        _document(found, age_s),
        as_json=as_json,
        text=lambda to: _tell(found, age_s, to),
    )


@app.command("status")
def status_(
    out: Out, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Fetch the list of which ratings stand, to read them off-line.

    Example: safehouse rating status --out ratings.status
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with RatingClient(settings, held, trust) as bank:
        listed = bank.status()
    durable.replace(out, listed.encode())
    show(
        {"written": str(out)},
        as_json=as_json,
        text=lambda to: to.print(f"written  {out}, {len(listed)} bytes"),
    )


@app.command()
def revoke(
    file: File, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """End a rating of this bank's, for good.

    Readers see it with their next status list. The subject ends it by withdrawing its
    consent, in the lists from ten minutes later on.

    Example: safehouse rating revoke gc-0001.rating
    """
    text = _read(file, rating.MOST_TEXT)
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with RatingClient(settings, held, trust) as bank:
        bank.revoke(text)
    show({"revoked": True}, as_json=as_json, text=lambda to: to.print("revoked"))


@app.command("show")
def show_(file: File, as_json: AsJson = False) -> None:
    """Show what a rating claims; nothing is verified.

    Example: safehouse rating show gc-0001.rating
    """
    claims = rating.peek(_read(file, rating.MOST_TEXT))

    def tell(to: Console) -> None:
        for name in ("iss", "aud", "contract", "outcome"):
            to.print(f"{name:<8} {claims.get(name)!r}", markup=False)
        to.print(f"until    {_time(_number(claims.get('exp')))}")
        to.print("nothing of this is verified: `safehouse rating verify`")

    show(claims, as_json=as_json, text=tell)


def _document(found: Rating, age_s: int) -> dict[str, object]:
    return {
        "issuer": found.issuer,
        "contract": found.contract.id,
        "version": found.contract.version,
        "outcome": dict(found.outcome),
        "call": found.call.hex(),
        "permitted": _time(found.permitted_ms // 1000),
        "not_after": _time(found.not_after_s),
        "status_age_s": age_s,
        "holder": found.holder.hex(),
    }


def _tell(found: Rating, age_s: int, to: Console) -> None:
    for name, value in found.outcome.items():
        to.print(f"{name:<8} {said(name, value)}")
    to.print(f"contract {found.contract.id} version {found.contract.version}")
    to.print(f"asked    {found.issuer}, {_time(found.permitted_ms // 1000)}")
    to.print(f"until    {_time(found.not_after_s)}; stood {max(age_s, 0)} s ago")
    to.print("computed again from what house and authority signed")


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _hash(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES:
        raise typer.BadParameter("expected the 64 digits of a call")
    return data


def _read(path: Path, most: int) -> str:
    with path.open("rb") as file:
        data = file.read(most + 1)
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigInvalid(f"`{path}` is not text", "name a rating's file") from None


def _public(path: Path) -> bytes:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigInvalid(
            f"`{path}` is no Ed25519 public key in PEM",
            f"`openssl pkey -in key.pem -pubout -out {path}`",
        )
    return key.public_bytes_raw()


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigInvalid(
            f"`{path}` is no Ed25519 key in PEM, without a passphrase",
            f"`openssl genpkey -algorithm ed25519 -out {path}`",
        )
    return key

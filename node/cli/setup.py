"""Make a trust domain, run a node, look a party over: init, up, doctor, demo."""

import getpass
import os
import secrets
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.basis import STRICT, Accepted
from contracts.classes import Class
from contracts.consent import quoted
from contracts.subject import SubjectType
from node import clock, config, demo, keys, log, run
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, console, load, show
from node.doctor import State, accept_clock, examine
from node.domain import Role
from node.errors import ChecksFailed, DomainInvalid, KeystoreLocked
from node.initialise import DEFAULT_MEMBERS, Plan, initialise, read_members
from node.succession import trusted
from node.witness import Witness, WitnessServer
from protocols.errors import FormatError


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    for command in (init, up, witness, doctor, demonstrate):
        name = "demo" if command is demonstrate else None
        app.command(name)(command)


def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    name: Annotated[
        str, typer.Option(help="The trust domain's name, such as rencheng.example.")
    ] = "safehouse.example",
    key_bits: Annotated[
        int, typer.Option(help="Length of the Paillier key: 2048, 3072 or more.")
    ] = 3072,
    house: Annotated[
        str, typer.Option(help="Where the house listens.")
    ] = "127.0.0.1:7443",
    authority: Annotated[
        str, typer.Option(help="Where the authority listens.")
    ] = "127.0.0.1:7444",
    witness: Annotated[
        str,
        typer.Option(help="Where a witness listens, who co-signs both journals."),
    ] = "",
    register: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=CUSTODIAN",
            help="Who puts the base register of a subject type; else the first"
            " custodian.",
        ),
    ] = None,
    parties: Annotated[
        Path | None,
        typer.Option(help="CSV of who takes part: id, role, title, organisation."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Banks that a consent may name at once: `rural=a,b`."
        ),
    ] = None,
    basis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BASIS=TIERS[:CATEGORIES]",
            help="A legal basis beside consent: `aggregate=T0,T1`,"
            " `statutory=T1:税务`; repeatable.",
        ),
    ] = None,
    throw_away: Annotated[
        bool,
        typer.Option(
            "--throw-away", help="Draw a passphrase and leave it beside every keystore."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a trust domain: keys, certificates, a folder a party.

    Every keystore is sealed with the passphrase in SAFEHOUSE_PASSPHRASE, or one
    you type; hand the folders out, and have each party choose its own.  Without
    `--parties` there are three banks, three custodians and two auditors.

    Example: safehouse init ./rencheng --name rencheng.example
    """
    plan = Plan(
        name,
        DEFAULT_MEMBERS if parties is None else read_members(parties),
        key_bits=key_bits,
        house=house,
        authority=authority,
        witness=witness,
        classes=tuple(sorted(map(_class, classes or ()), key=lambda each: each.id)),
        bases=STRICT.with_rows(map(_basis, basis or ())),
        leave_passphrases=throw_away,
        registers=tuple(map(_register, register or ())),
    )
    phrase = secrets.token_urlsafe(24) if throw_away else _new_passphrase()
    steps = Console(stderr=True, highlight=False)
    trust = initialise(
        directory,
        plan,
        phrase,
        clock.now_ms(),
        lambda step: steps.print(step, style="dim"),
    )
    made = [
        {"id": party.id, "role": party.role.value, "title": party.title}
        for party in trust.parties
    ]
    document = {
        "domain": trust.name,
        "key_id": trust.paillier.key_id,
        "key_bits": trust.paillier.bits,
        "parties": made,
        "registers": {kind.value: name for kind, name in trust.registers},
    }

    def text(to: Console) -> None:
        to.print(f"trust domain {trust.name} in {directory}, {key_bits}-bit key")
        for party in trust.parties:
            to.print(f"  {party.id:<18} {party.role:<10} {party.title}")
        charged = (f"{kind} by {custodian}" for kind, custodian in trust.registers)
        to.print(f"  base registers: {', '.join(charged)}")

    show(document, as_json=as_json, text=text)


def _register(text: str) -> tuple[SubjectType, str]:
    kind, _, custodian = text.partition("=")
    if kind not in set(SubjectType) or not custodian:
        types = ", ".join(f"`{known}`" for known in SubjectType)
        raise typer.BadParameter(
            f"expected `type=custodian`, one of {types} first, got `{text}`"
        )
    return SubjectType(kind), custodian


def _class(text: str) -> Class:
    name, equals, banks = text.partition("=")
    if not equals:
        raise DomainInvalid(
            f"`--class`: expected a name, `=` and banks, got {quoted(text)}",
            "such as `--class rural=jnrcb,lsbank`",
        )
    return Class(name, tuple(sorted(filter(None, banks.split(",")))))


def _basis(text: str) -> Accepted:
    name, equals, data = text.partition("=")
    tiers, _, words = data.partition(":")
    try:
        if equals:
            item = {
                "basis": name,
                "tiers": sorted(filter(None, tiers.split(","))),
                "categories": sorted(filter(None, words.split(","))),
            }
            return Accepted.from_json(item)
    except FormatError as error:
        raise DomainInvalid(f"`--basis`: {error}") from None
    raise DomainInvalid(
        f"`--basis`: expected a basis, `=` and tiers, got {quoted(text)}",
        "such as `--basis statutory=T1,T2:税务`",
    )


def _new_passphrase() -> str:
    if given := os.environ.get(keys.PASSPHRASE):
        return given
    if not sys.stdin.isatty():
        raise KeystoreLocked(
            "no passphrase for the new keystores",
            f"set `{keys.PASSPHRASE}`, or use `--throw-away` to try things out",
        )
    typed = getpass.getpass("passphrase for the new keystores: ")
    if not typed or typed != getpass.getpass("once more: "):
        raise KeystoreLocked("the two passphrases differ, or are empty")
    return typed


def up(config_path: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run the house or the authority until it is told to stop.

    SIGTERM stops it after the calls under way; logs are JSON lines on stderr.

    Example: safehouse up --config rencheng/house/safehouse.toml
    """
    log.configure()
    settings = config.load(config_path)
    run.serve(settings, lambda address: print(f"listening on {address}", flush=True))


def witness(config_path: ConfigPath = DEFAULT_CONFIG) -> None:
    """Co-sign checkpoints of house and authority until told to stop.

    Whoever runs it keeps one checkpoint of each journal, and signs a newer one only
    with a proof that nothing before was changed.

    Example: safehouse witness --config rencheng/witness/safehouse.toml
    """
    log.configure()
    settings, held, trust = load(config_path, keys.WitnessKeys, Role.WITNESS)
    seen = Witness(trust, settings.id, held.sign, settings.data, clock.now_ms)
    server = WitnessServer(seen, settings.listen)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.close).start())
    print(f"listening on {server.address}", flush=True)
    server.serve()


def doctor(
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-clock",
            help="Journal that you answer for a clock that went back.",
        ),
    ] = False,
    config_path: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Look a party over: files, keys, disk, journal, clock, peers.

    Ends with code 18 if something fails. A node whose clock went back by minutes ends
    with code 23 and does not start until the clock is right or, with the node stopped,
    accepted as it is; the journal's time stands still until the clock has caught up.

    Example: safehouse doctor --config rencheng/jnrcb/safehouse.toml
    """
    settings = config.load(config_path)
    trust = trusted(settings)
    held = keys.load(keys.OF_ROLE[settings.role], settings, trust)
    checks = [accept_clock(settings, trust, held)] if accept else []
    checks += examine(settings, trust, held, clock.now_ms)
    document = {
        "party": settings.id,
        "role": settings.role.value,
        "domain": trust.name,
        "serial": trust.serial,
        "key_id": trust.paillier.key_id,
        "key_bits": trust.paillier.bits,
        "checks": [
            {"name": c.name, "state": c.state.value, "told": c.told, "hint": c.hint}
            for c in checks
        ],
    }

    def text(to: Console) -> None:
        to.print(f"{settings.id}, a {settings.role} of {trust.name} {trust.serial}")
        for check in checks:
            to.print(f"{check.state:<4}  {check.name:<11} {check.told}")
            if check.hint:
                to.print(f"{'':<18}hint: {check.hint}")

    show(document, as_json=as_json, text=text)
    failed = [check.name for check in checks if check.state is State.FAIL]
    if failed:
        raise ChecksFailed(f"{len(failed)} of {len(checks)} checks failed")


def demonstrate(
    key_bits: Annotated[
        int, typer.Option(help="Length of the Paillier key: 2048 or 3072.")
    ] = 2048,
    keep: Annotated[
        Path | None, typer.Option(help="Keep everything in this new folder.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the facts to this file.")
    ] = None,
) -> None:
    """Run the main job on 1,000 real subjects, audit included.

    Three custodians, two banks, a registrar and two auditors in a throw-away
    trust domain; house and authority run as processes of their own.

    Example: safehouse demo --json demo.json
    """
    demo.run(console(), key_bits=key_bits, keep=keep, json_file=json_file)

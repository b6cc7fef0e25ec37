"""Replace keys, and the trust domain that names them: key, domain."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node import clock, config, doctor, initialise, keys, rotation, succession
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.domain import Role
from node.keys import OF_ROLE
from node.rotation import Purpose, purposes


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    key = typer.Typer(
        help="Replace a party's keys, and the passphrase that seals them.",
        no_args_is_help=True,
    )
    key.command()(rotate)
    key.command()(status)
    key.command()(passphrase)
    app.add_typer(key, name="key")
    trust = typer.Typer(
        help="Sign the next trust domain, and take one over.", no_args_is_help=True
    )
    trust.command()(amend)
    trust.command()(adopt)
    app.add_typer(trust, name="domain")


def rotate(
    out: Annotated[
        Path, typer.Option(help="Where the request to the root key's holder goes.")
    ] = Path("rotation.json"),
    only: Annotated[
        list[Purpose] | None,
        typer.Option(help="A key to replace; all of the party's if left out."),
    ] = None,
    config_path: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Draw a party's new keys, and the request to have them signed.

    They lie beside the keystore, sealed as it is, and are in force once `safehouse
    domain adopt` has taken the trust domain that names them. Until then nothing
    changes for this party.

    Example: safehouse key rotate --out jnrcb-keys.json --config jnrcb/safehouse.toml
    """
    settings = config.load(config_path)
    _, held, trust = load(config_path, OF_ROLE[settings.role], settings.role)
    wanted = tuple(only or purposes(trust.party(settings.id)))
    phrase = keys.passphrase(settings)
    request = rotation.draw(settings, trust, held, wanted, phrase)
    keys.replace_private(out, request)
    document = {"party": settings.id, "keys": list(wanted), "request": str(out)}

    def text(to: Console) -> None:
        to.print(f"drew {', '.join(wanted)} of {settings.id}; the request is {out}")
        to.print("next: safehouse domain amend, where the root key is; adopt here last")

    show(document, as_json=as_json, text=text)


def status(config_path: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show which keys a party has, and until when old ones count.

    Example: safehouse key status --config jnrcb/safehouse.toml
    """
    settings = config.load(config_path)
    _, held, trust = load(config_path, OF_ROLE[settings.role], settings.role)
    found = rotation.standing(settings, trust, held)
    document = {
        "party": settings.id,
        "domain": trust.name,
        "serial": trust.serial,
        "pending": found.pending,
        "keys": [
            {"purpose": key.purpose, "key": key.id, "until_ms": key.until_ms}
            for key in found.keys
        ],
    }

    def text(to: Console) -> None:
        to.print(f"{settings.id}, {trust.name} serial {trust.serial}")
        for key in found.keys:
            told = "in force" if key.until_ms is None else doctor.ended(key.until_ms)
            to.print(f"  {key.purpose:<8} {key.id}  {told}")
        if found.pending:
            to.print("  drawn, and not in force yet: adopt the next trust domain")

    show(document, as_json=as_json, text=text)


def passphrase(
    authority: Annotated[
        Path | None,
        typer.Option("--ca", help="A folder of `init`, whose root key is meant."),
    ] = None,
    config_path: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Seal a keystore under another passphrase.

    The old one comes from where it always does, the new one from
    SAFEHOUSE_NEW_PASSPHRASE, from the file that SAFEHOUSE_NEW_PASSPHRASE_FILE names,
    or is typed. The keys stay: replace them if somebody else knew the old one.

    Example: safehouse key passphrase --config jnrcb/safehouse.toml
    """
    if authority is None:
        settings = config.load(config_path)
        path, phrase = settings.keystore, keys.passphrase(settings)
    else:
        path = authority / initialise.CA / initialise.KEYSTORE
        phrase = keys.passphrase_of(path)
    rotation.change_passphrase(path, phrase, keys.new_passphrase(str(path)))
    show(
        {"keystore": str(path)},
        as_json=as_json,
        text=lambda to: to.print(f"{path} opens under the new passphrase only"),
    )


def amend(
    directory: Annotated[
        Path, typer.Argument(help="The folder that `init` made, with `ca`.")
    ],
    request: Annotated[
        list[Path] | None, typer.Option(help="A party's request to replace keys.")
    ] = None,
    end: Annotated[
        list[str] | None,
        typer.Option(help="A party whose earlier keys end at once: were they stolen?"),
    ] = None,
    overlap_hours: Annotated[
        int,
        typer.Option(min=0, max=90 * 24, help="How long replaced keys may still sign."),
    ] = rotation.OVERLAP_HOURS,
    new_root: Annotated[
        bool,
        typer.Option("--new-root", help="Replace the root key, by its own signature."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign a trust domain's next serial; lay out what to hand out.

    Off-line, where the root key is. Everybody adopts the folder of his name, whoever
    asked for new keys last of all; nodes start again to use it.

    Example: safehouse domain amend ./rencheng --request jnrcb-keys.json
    """
    made = rotation.amend(
        directory,
        keys.passphrase_of(directory / initialise.CA / initialise.KEYSTORE),
        clock.now_ms(),
        requests=[path.read_bytes() for path in request or ()],
        end=end or (),
        overlap_hours=overlap_hours,
        new_root=new_root,
    )
    document = {
        "domain": made.domain.name,
        "serial": made.domain.serial,
        "handout": str(made.handout),
    }
    show(
        document,
        as_json=as_json,
        text=lambda to: to.print(
            f"{made.domain.name} serial {made.domain.serial}: hand out {made.handout}"
        ),
    )


def adopt(
    source: Annotated[
        Path, typer.Argument(help="The folder handed out, or its domain.json.")
    ],
    config_path: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Take the next trust domain, and the keys drawn for it.

    It must follow from the one that this party has seen; an older one is refused, then
    and at every start. Interrupted, do it again.

    Example: safehouse domain adopt ./jnrcb --config jnrcb/safehouse.toml
    """
    settings = config.load(config_path)
    trust = succession.adopt(settings, source, keys.passphrase(settings))
    document = {
        "party": settings.id,
        "domain": trust.name,
        "serial": trust.serial,
    }

    def text(to: Console) -> None:
        to.print(f"{settings.id} believes {trust.name} serial {trust.serial}")
        if settings.role in (Role.HOUSE, Role.AUTHORITY, Role.WITNESS):
            to.print("start it again to use it")

    show(document, as_json=as_json, text=text)

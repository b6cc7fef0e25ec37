"""Copy a party, and put the copy back: backup, restore."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node import backup as room
from node import clock, config, keys
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.keys import OF_ROLE


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(backup)
    app.command()(restore)


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for the copy.")],
    config_path: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Copy a party, which may be running: journal, data, sealed keys.

    The passphrase is not in it: keep that elsewhere, or the copy opens for nobody.

    Example: safehouse backup /mnt/house-monday --config house/safehouse.toml
    """
    settings = config.load(config_path)
    settings, held, trust = load(config_path, OF_ROLE[settings.role], settings.role)
    made = room.backup(settings, trust, held, folder, clock.now_ms())
    _tell(made, f"copied {made.party} into {folder}", as_json=as_json)


def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `backup` made.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the party.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint of this journal that somebody else holds."),
    ] = None,
    unwitnessed: Annotated[
        bool,
        typer.Option("--unwitnessed", help="Go on though a witness does not answer."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a copy back, unless anybody has seen the journal further.

    Asks the node's witnesses. Give it, too, the `checkpoint` of an auditor's export:
    a journal that goes on from before what others hold is proof against its node. The
    passphrase is the one of when the copy was made.

    Example: safehouse restore /mnt/house-monday ./house --checkpoint export/checkpoint
    """
    phrase = keys.passphrase_of(source / room.KEYSTORE)
    notes = [path.read_text("utf-8") for path in checkpoint or ()]
    made = room.restore(source, folder, phrase, notes, unwitnessed=unwitnessed)
    _tell(made, f"restored {made.party} in {folder}", as_json=as_json)


def _tell(made: room.Manifest, done: str, *, as_json: bool) -> None:
    document = {
        "party": made.party,
        "role": made.role,
        "domain": made.domain,
        "entries": made.size,
        "files": len(made.files),
        "time_ms": made.time_ms,
    }

    def text(to: Console) -> None:
        journal = f", journal of {made.size:,} entries" if made.size else ""
        to.print(f"{done}: {len(made.files):,} files{journal}")

    show(document, as_json=as_json, text=text)

"""The tree of commands, and how every one of them ends."""

import sys
from typing import Final

import typer

from contracts.errors import ContractError
from node.cli import (
    attributes,
    audit,
    bank,
    consent,
    contract,
    custodian,
    job,
    psi,
    query,
    setup,
    subject,
)
from node.errors import Denied, NodeError
from protocols.errors import ProtocolError

CALLED_WRONGLY: Final = 2
DOCUMENT_REFUSED: Final = 3  # what somebody wrote is not as it must be
BYTES_REFUSED: Final = 4  # what another party sent is not as it must be
INTERRUPTED: Final = 130  # by the keyboard, as shells count

app = typer.Typer(
    name="safehouse",
    help="Data Safe House 数据安全屋: ask about records, get the answer, "
    "never the records.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
setup.add_to(app)
custodian.add_to(app)
app.add_typer(attributes.app, name="attributes")
contract.add_to(app)
app.add_typer(consent.app, name="consent")
bank.add_to(app)
query.add_to(app)
app.add_typer(job.app, name="job")
app.add_typer(psi.app, name="psi")
app.add_typer(subject.app, name="subject")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command of this process; never shows a traceback for others' faults."""
    try:
        code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        code = _misused(error)
    except Denied as error:
        code = _told(f"{error.reason}: {error}", error.hint, error.exit_code)
    except NodeError as error:
        code = _told(error, error.hint, error.exit_code)
    except ContractError as error:
        code = _told(error, error.hint, DOCUMENT_REFUSED)
    except ProtocolError as error:
        code = _told(error, error.hint, BYTES_REFUSED)
    except OSError as error:
        what = str(error.strerror or error).lower()
        where = f": `{error.filename}`" if error.filename else ""
        code = _told(f"{what}{where}", "", CALLED_WRONGLY)
    if code == INTERRUPTED:
        _told("interrupted; what was acknowledged stands", "", code)
    sys.exit(code)


def _misused(error: typer.TyperException) -> int:
    """Say in our own words what typer finds wrong with a command line."""
    said, _, meant = error.format_message().partition(" Did you mean ")
    if "\n" in said:  # a command without its verb: this is its help
        print(said, file=sys.stderr)
        return CALLED_WRONGLY
    said = said.replace(": Value error, ", ": ").replace("'", "`").rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "safehouse"
    hint = f"did you mean {meant}".replace("'", "`") if meant else f"`{command} --help`"
    return _told(said[:1].lower() + said[1:], hint, CALLED_WRONGLY)


def _told(error: object, hint: str, code: int) -> int:
    print(f"safehouse: error: {error}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code

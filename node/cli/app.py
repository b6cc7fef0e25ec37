"""The tree of commands, and how every one of them ends."""

import sys
from typing import Final

import typer

from contracts.errors import ContractError
from node.cli import audit, bank, consent, contract, custodian, setup
from node.errors import NodeError
from protocols.errors import ProtocolError

DOCUMENT_REFUSED: Final = 3  # what somebody wrote is not as it must be
BYTES_REFUSED: Final = 4  # what another party sent is not as it must be

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
contract.add_to(app)
app.add_typer(consent.app, name="consent")
bank.add_to(app)
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command of this process; never shows a traceback for others' faults."""
    try:
        app()
    except NodeError as error:
        code = _told(error, error.hint, error.exit_code)
    except ContractError as error:
        code = _told(error, error.hint, DOCUMENT_REFUSED)
    except ProtocolError as error:
        code = _told(error, error.hint, BYTES_REFUSED)
    except OSError as error:
        where = f": `{error.filename}`" if error.filename else ""
        code = _told(f"{error.strerror or error}{where}".lower(), "", 2)
    except KeyboardInterrupt:
        code = _told("interrupted; what was acknowledged stands", "", 130)
    else:
        return
    sys.exit(code)


def _told(error: object, hint: str, code: int) -> int:
    print(f"safehouse: error: {error}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code

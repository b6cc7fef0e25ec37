"""An auditor's desk: audit export, verify, replay."""

import typer

app = typer.Typer(
    help="Export both journals, verify them off-line, replay calls.",
    no_args_is_help=True,
)

"""The command `safehouse`: parses words, calls one room, prints what it says.

Every command has `--help` with an example and `--json` for machines.  Errors
are one line on stderr, `safehouse: error: ...`, and where something can be done
about it a line `hint: ...`; exit codes are in `node.errors`.  A party's commands
read its `safehouse.toml`: `--config`, or `SAFEHOUSE_CONFIG`, or the one in the
working folder.
"""

from node.cli.app import main

__all__ = ["main"]

"""`python -m node` is `safehouse`."""

from node.cli import main

main()

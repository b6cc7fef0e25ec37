"""`python -m node` is `safehouse`."""

from node.children import end_with_parent
from node.cli import main

end_with_parent()
main()

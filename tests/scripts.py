"""Scripts of an example, imported as they import each other, and forgotten after.

Examples have scripts of the same names; what one left in `sys.modules` another would be
given.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace


@contextmanager
def scripts(folder: Path, *names: str) -> Iterator[SimpleNamespace]:
    """Lend some scripts of a folder."""
    own = {path.stem for path in folder.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(folder))
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(others)

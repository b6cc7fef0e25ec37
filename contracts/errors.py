"""What can be wrong with the meaning of a document.

::

    ContractError
    ├── DocumentInvalid     a document that cannot mean anything
    └── ConsentConflict     an event that a consent's state does not allow

Bytes that are not in their format are a `protocols.errors.FormatError`.
"""


class ContractError(Exception):
    """Base of this floor: one line, and a hint that is printed apart."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class DocumentInvalid(ContractError):
    """A document whose parts are well formed and together mean nothing."""


class ConsentConflict(ContractError):
    """An event that the state of the consent does not allow."""

"""What can be wrong with the meaning of a document.

::

    ContractError
    ├── SourceError         a place in a YAML file: `path:line:column: message`
    ├── DocumentInvalid     a document that cannot mean anything
    ├── CompileError        a contract that cannot become exact integers
    ├── KindRefused         a contract that answers another kind of question
    ├── RuleBroken          an approval rule fails and nobody waived it
    ├── ValueInvalid        a custodian's value outside what its column declares
    ├── PointsBeyond        a bank's own points outside what a contract lets it add
    ├── OutOfRange          a total that no row of valid data can reach
    ├── SubjectInvalid      an identifier that names nobody
    ├── RatingRefused       a rating that is not for this reader, subject or time
    └── ConsentConflict     an event that a consent's state does not allow

Bytes that are not in their format are a `protocols.errors.FormatError`.
"""


class ContractError(Exception):
    """Base of this floor: one line, and a hint that is printed apart."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SourceError(ContractError):
    """Something at one place of a file that a person wrote.

    Lines and columns count from 1; line 0 is a document without lines.
    """

    def __init__(
        self, message: str, path: str, line: int, column: int, hint: str = ""
    ) -> None:
        where = f"{path}:{line}:{column}" if line else path
        super().__init__(f"{where}: {message}", hint)
        self.message = message
        self.path = path
        self.line = line
        self.column = column


class DocumentInvalid(ContractError):
    """A document whose parts are well formed and together mean nothing."""


class CompileError(ContractError):
    """A contract that cannot become exact integers in one slot."""


class KindRefused(ContractError):
    """A contract that was asked a question it does not answer."""


class PointsBeyond(ContractError):
    """A bank's own points outside what a joint contract lets it add."""


class RuleBroken(ContractError):
    """An approval rule that fails and that nobody waived."""


class ValueInvalid(ContractError):
    """A value that its column does not allow.

    The message names the column and what it expects, never the value: it may
    travel to people who must not see the record.  `value` is for the report
    that the custodian reads on its own machine.
    """

    def __init__(self, column: str, expected: str, value: str | None) -> None:
        super().__init__(f"column `{column}`: expected {expected}")
        self.column = column
        self.expected = expected
        self.value = value


class OutOfRange(ContractError):
    """A total in the guard zone: some custodian's data break their schema."""


class SubjectInvalid(ContractError):
    """An identifier that is not one; the message never repeats it."""

    def __init__(self, message: str, hint: str = "", field: str = "subject_id") -> None:
        super().__init__(f"`{field}`: {message}", hint)
        self.field = field


class ConsentConflict(ContractError):
    """An event that the state of the consent does not allow."""


class RatingRefused(ContractError):
    """A rating that is proven, and is not for this reader, subject or time."""

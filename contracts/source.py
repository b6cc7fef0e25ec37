r"""YAML that knows its lines: the only door to the YAML library.

Documents are written by people and signed by custodians, so a file may mean
one thing only.  We take the events of libyaml (YAML 1.1) and build our own tree
from them; nothing is resolved, constructed or executed on the way.

    file      UTF-8 without byte order mark, at most 1,000,000 bytes, one document
    nesting   at most 32 levels
    refused   aliases, anchors, tags, directives, merge keys, duplicate keys, keys
              that are not text, tabs, control and text-direction characters

A scalar keeps its text.  What it means is asked by the reader of the document,
never guessed from its shape: `1.10` is the text `1.10` where text is wanted.  A
plain `no`, `on` or `~`, which other readers turn into a truth value or nothing,
is not text until it is quoted (the "Norway problem").

Every document has the same four members::

    apiVersion: safehouse/v1
    kind: Dataset | ScoringContract | ...
    metadata: {name, version, title}
    spec: {...}

>>> root = parse("name: tax\ncolumns: [a, no]\n", "tax.yaml")
>>> columns = root.members(required=("name", "columns"))["columns"]
>>> [node.text() for node in columns.items()]
Traceback (most recent call last):
    ...
contracts.errors.SourceError: tax.yaml:2:14: expected text, got `no` unquoted
>>> root.members(required=("nane",))
Traceback (most recent call last):
    ...
contracts.errors.SourceError: tax.yaml:1:1: unknown key `name`
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

import yaml

from contracts.errors import SourceError
from protocols.canon import Json

API_VERSION = "safehouse/v1"
KINDS = (
    "Dataset",
    "ScoringContract",
    "QueryContract",
    "PublicAttributes",
    "Consent",
    "BankModel",
)
MAX_BYTES = 1_000_000
MAX_NESTING = 32
MAX_TEXT = 500  # characters of one scalar
SHOWN = 60  # characters of the user's words that a message repeats

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
PARTY = re.compile(r"[a-z](-?[a-z0-9]){0,31}")
COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")  # below 2^53: RFC 8785
DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?")

# Plain scalars that YAML 1.1 readers do not take as text.
_NO_TEXT = re.compile(
    r"|~|null|Null|NULL|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE"
    r"|on|On|ON|off|Off|OFF"
)
_NUMBER = re.compile(
    r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|\.inf|\.Inf|\.INF"
    r"|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?"
    r"|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)"
    r"|\.nan|\.NaN|\.NAN|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
)
# Control characters; marks that reorder the text a reviewer sees (Trojan Source,
# CVE-2021-42574); byte order marks; line breaks that only YAML 1.1 knows.
_FORBIDDEN = re.compile(
    "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ufeff\ufffe\uffff]|\r(?!\n)"
)
_FORBIDDEN_VALUE = re.compile(_FORBIDDEN.pattern + "|\r")


@dataclass(frozen=True, slots=True)
class Place:
    """A line and column of a file, both from 1; line 0 where there are none."""

    path: str
    line: int
    column: int

    def error(self, message: str, hint: str = "") -> SourceError:
        """Make the error that points here; the caller raises it."""
        return SourceError(message, self.path, self.line, self.column, hint)


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text as written; `plain` means it stood there without quotes."""

    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document: a scalar, a list of nodes, or keys with nodes."""

    place: Place
    content: "Scalar | list[Node] | dict[str, tuple[Node, Node]]"

    def error(self, message: str, hint: str = "") -> SourceError:
        """Make the error that points at this node; the caller raises it."""
        return self.place.error(message, hint)

    def text(self) -> str:
        """Read one line of text, not empty; a plain `no` or `~` must be quoted."""
        scalar = self._scalar("text")
        if scalar.plain and _NO_TEXT.fullmatch(scalar.text):
            if not scalar.text:
                raise self.error("expected text, got nothing")
            raise self.error(
                f"expected text, got `{scalar.text}` unquoted",
                f'write "{scalar.text}"',
            )
        if not scalar.text or "\n" in scalar.text or len(scalar.text) > MAX_TEXT:
            raise self.error(f"expected one line of 1 to {MAX_TEXT} characters")
        return scalar.text

    def cell(self) -> str:
        """Read text that stands for a cell of a table: it may be empty if quoted."""
        content = self.content
        if isinstance(content, Scalar) and not content.text and not content.plain:
            return ""
        return self.text()

    def name(self) -> str:
        """Read the name of a document: lower case letters, digits and hyphens."""
        return self._matching(NAME, "a name", "a to z, 0 to 9 and -")

    def party(self) -> str:
        """Read a party id, as the trust-domain file gives them out."""
        return self._matching(PARTY, "a party id", "a to z, 0 to 9 and single -")

    def column(self) -> str:
        """Read the name of a column: lower case letters, digits and underscores."""
        return self._matching(COLUMN, "a column name", "a to z, 0 to 9 and _")

    def word(self, known: Sequence[str]) -> str:
        """Read one of the `known` words."""
        text = self.text()
        if text not in known:
            raise self.error(f"unknown word `{shown(text)}`", suggest(text, known))
        return text

    def integer(self, least: int, most: int) -> int:
        """Read a plain decimal integer in [least, most]."""
        scalar = self._scalar("an integer")
        if not scalar.plain or not INTEGER.fullmatch(scalar.text):
            raise self.error(
                f"expected an integer, got `{shown(scalar.text)}`",
                "write digits only, without quotes, point or separators",
            )
        number = int(scalar.text)
        if not least <= number <= most:
            raise self.error(f"expected {least} to {most}, got {number}")
        return number

    def decimal(self) -> Decimal:
        """Read an exact decimal number, quoted or not; `-0.0` is 0."""
        scalar = self._scalar("a number")
        if not DECIMAL.fullmatch(scalar.text):
            raise self.error(
                f"expected a number, got `{shown(scalar.text)}`",
                "write at most 15 digits and 9 decimals, such as 12.5",
            )
        return Decimal(scalar.text) or Decimal(0)  # drops the sign of -0.0

    def value(self) -> str | int:
        """Read a value to release: an integer if it looks like one, else text."""
        scalar = self._scalar("a value")
        if scalar.plain and INTEGER.fullmatch(scalar.text):
            return int(scalar.text)
        if scalar.plain and _NUMBER.fullmatch(scalar.text):
            raise self.error(
                f"expected an integer or text, got `{shown(scalar.text)}`",
                f'quote it: "{shown(scalar.text)}"',
            )
        return self.text()

    def flag(self) -> bool:
        """Read `true` or `false`."""
        scalar = self._scalar("true or false")
        if not scalar.plain or scalar.text not in ("true", "false"):
            raise self.error(f"expected true or false, got `{shown(scalar.text)}`")
        return scalar.text == "true"

    def items(self, least: int = 0, most: int = 10_000) -> "tuple[Node, ...]":
        """Read a list of `least` to `most` nodes."""
        if not isinstance(self.content, list):
            raise self._unexpected("a list")
        if not least <= len(self.content) <= most:
            raise self.error(
                f"expected {least} to {most} items, got {len(self.content)}"
            )
        return tuple(self.content)

    def entries(self, least: int = 0) -> "tuple[tuple[Node, Node], ...]":
        """Read keys, in the order of the file, that the author chose freely."""
        if not isinstance(self.content, dict):
            raise self._unexpected("keys and values")
        if len(self.content) < least:
            raise self.error(f"expected at least {least} keys")
        return tuple(self.content.values())

    def members(
        self, required: Sequence[str] = (), optional: Sequence[str] = ()
    ) -> "dict[str, Node]":
        """Read an object with exactly these members; unknown is refused by name."""
        found = {key.text(): value for key, value in self.entries()}
        known = (*required, *optional)
        for key, _ in self.entries():
            if key.text() not in known:
                raise key.error(
                    f"unknown key `{shown(key.text())}`", suggest(key.text(), known)
                )
        for key_name in required:
            if key_name not in found:
                raise self.error(f"missing key `{key_name}`")
        return found

    def has(self, member: str) -> bool:
        """Report whether this is an object with `member`."""
        return isinstance(self.content, dict) and member in self.content

    def is_plain(self, word: str) -> bool:
        """Report whether this is `word`, without quotes."""
        content = self.content
        return isinstance(content, Scalar) and content == Scalar(word, plain=True)

    def is_scalar(self) -> bool:
        """Report whether this is a scalar: some members take it as a short form."""
        return isinstance(self.content, Scalar)

    def _matching(self, pattern: re.Pattern[str], wanted: str, letters: str) -> str:
        text = self.text()
        if not pattern.fullmatch(text):
            raise self.error(
                f"expected {wanted}, got `{shown(text)}`",
                f"it starts with a to z and goes on with {letters}",
            )
        return text

    def _scalar(self, wanted: str) -> Scalar:
        if not isinstance(self.content, Scalar):
            raise self._unexpected(wanted)
        return self.content

    def _unexpected(self, wanted: str) -> SourceError:
        got = "a list" if isinstance(self.content, list) else "keys and values"
        if isinstance(self.content, Scalar):
            got = f"`{shown(self.content.text)}`" if self.content.text else "nothing"
        return self.error(f"expected {wanted}, got {got}")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file of the shape that all documents share."""

    kind: str
    metadata: Node
    spec: Node

    @classmethod
    def parse(cls, data: bytes | str, path: str, kind: str = "") -> "Document":
        """Read a document; with `kind`, of that kind only.  Raises `SourceError`."""
        root = parse(data, path)
        members = root.members(("apiVersion", "kind", "metadata", "spec"))
        version = members["apiVersion"]
        if version.text() != API_VERSION:
            raise version.error(
                f"expected apiVersion `{API_VERSION}`, got `{shown(version.text())}`"
            )
        got = members["kind"].word(KINDS)
        if kind and got != kind:
            raise members["kind"].error(f"expected kind `{kind}`, got `{got}`")
        return cls(got, members["metadata"], members["spec"])


def parse(data: bytes | str, path: str) -> Node:
    """Read one YAML document strictly; raises `SourceError`.

    Checks:

    1. at most `MAX_BYTES` of UTF-8;
    2. no forbidden character, wherever it stands;
    3. one YAML document without directives, anchors, aliases and tags;
    4. at most `MAX_NESTING` levels, keys are text and unique.
    """
    text = _decoded(data, path)  # 1
    if bad := _FORBIDDEN.search(text):  # 2
        raise _forbidden(text, bad.start(), path)
    events = _Events(text, path)
    events.expect(yaml.StreamStartEvent, "a document")
    start = events.take()
    if not isinstance(start, yaml.DocumentStartEvent):
        raise events.place(start).error("the document is empty")
    if start.version or start.tags:  # 3
        raise events.place(start).error("YAML directives are not allowed")
    root = _node(events, events.take(), 1)
    events.expect(yaml.DocumentEndEvent, "the end of the document")
    end = events.take()
    if not isinstance(end, yaml.StreamEndEvent):
        raise events.place(end).error(
            "expected one document, got another", "write one document a file"
        )
    return root


def from_json(value: Json, path: str, depth: int = 1) -> Node:
    """Make a tree without lines from a parsed canonical document.

    So canonical bytes and YAML go through one reader and obey the same rules.
    """
    place = Place(path, 0, 0)
    if depth > MAX_NESTING:
        raise place.error(f"expected at most {MAX_NESTING} levels of nesting")
    if isinstance(value, bool):
        return Node(place, Scalar("true" if value else "false", plain=True))
    if isinstance(value, int):
        return Node(place, Scalar(str(value), plain=True))
    if isinstance(value, str):
        if _FORBIDDEN_VALUE.search(value):
            raise place.error("forbidden character in a text")
        return Node(place, Scalar(value, plain=False))
    if isinstance(value, list):
        return Node(place, [from_json(item, path, depth + 1) for item in value])
    if isinstance(value, dict):
        return Node(
            place,
            {
                key: (from_json(key, path), from_json(item, path, depth + 1))
                for key, item in value.items()
            },
        )
    raise place.error("expected a value, got null")


def write_decimal(number: Decimal) -> str:
    """Write the shortest text that `Node.decimal` reads as this number.

    >>> write_decimal(Decimal("26.50")), write_decimal(Decimal("1E+2"))
    ('26.5', '100')
    """
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def suggest(word: str, known: Sequence[str]) -> str:
    """Return the hint for an unknown word.

    >>> suggest("incone", ["income", "age"])
    'did you mean `income`?'
    >>> suggest("zzz", ["income", "age"])
    'expected `income` or `age`'
    """
    if near := get_close_matches(word[:MAX_TEXT], known, n=1):
        return f"did you mean `{near[0]}`?"
    if not known:
        return ""
    listed = [f"`{shown(name)}`" for name in known[:10]]
    if len(known) > len(listed):
        return f"expected {', '.join(listed)} or another of {len(known)}"
    return "expected " + " or ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))


def shown(text: str) -> str:
    """Shorten the user's words for a message of one line."""
    one_line = text.replace("\n", " ")
    return one_line if len(one_line) <= SHOWN else one_line[: SHOWN - 3] + "..."


class _Events:
    """The events of libyaml, with its errors turned into ours."""

    def __init__(self, text: str, path: str) -> None:
        self._path = path
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)

    def take(self) -> yaml.Event:
        """Return the next event."""
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise Place(self._path, line, column).error(
                f"not YAML: {error.problem or error.context}",
                error.context or "",
            ) from None
        except yaml.YAMLError:
            raise Place(self._path, 1, 1).error("not YAML") from None

    def expect(self, kind: type[yaml.Event], wanted: str) -> None:
        """Take an event that can only be of one kind."""
        event = self.take()
        if not isinstance(event, kind):
            raise self.place(event).error(f"expected {wanted}")

    def place(self, event: yaml.Event) -> Place:
        """Return where the event begins."""
        mark = event.start_mark
        if mark is None:
            raise AssertionError("libyaml marks every event")
        return Place(self._path, mark.line + 1, mark.column + 1)


def _node(events: _Events, event: yaml.Event, depth: int) -> Node:
    """Build the node that begins with `event`."""
    place = events.place(event)
    if isinstance(event, yaml.AliasEvent):
        raise place.error(
            f"alias `*{shown(str(event.anchor))}` is not allowed", _REPEAT
        )
    if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
        raise place.error("expected a value")
    if event.anchor is not None:
        raise place.error(f"anchor `&{shown(event.anchor)}` is not allowed", _REPEAT)
    if event.tag is not None:
        raise place.error(
            f"tag `{shown(event.tag)}` is not allowed", "write the value without it"
        )
    if isinstance(event, yaml.ScalarEvent):
        if _FORBIDDEN_VALUE.search(event.value):  # written as an escape
            raise place.error("forbidden character in a text")
        return Node(place, Scalar(event.value, plain=event.implicit[0]))
    if depth > MAX_NESTING:
        raise place.error(f"expected at most {MAX_NESTING} levels of nesting")
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := events.take(), yaml.SequenceEndEvent):
            items.append(_node(events, item, depth + 1))
        return Node(place, items)
    return Node(place, _mapping(events, depth))


_REPEAT = "write the value out each time: a reviewer reads what stands there"


def _mapping(events: _Events, depth: int) -> dict[str, tuple[Node, Node]]:
    members: dict[str, tuple[Node, Node]] = {}
    while not isinstance(event := events.take(), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            raise events.place(event).error("expected a key of text")
        key = _node(events, event, depth + 1)
        text = _key(key)
        if text in members:
            first = members[text][0].place
            raise key.error(
                f"duplicate key `{shown(text)}`", f"it is first in line {first.line}"
            )
        members[text] = (key, _node(events, events.take(), depth + 1))
    return members


def _key(key: Node) -> str:
    scalar = key.content
    if isinstance(scalar, Scalar) and scalar.plain:
        if scalar.text == "<<":
            raise key.error("merge key `<<` is not allowed", _REPEAT)
        if scalar.text and _NUMBER.fullmatch(scalar.text):
            raise key.error(
                f"expected a key of text, got `{shown(scalar.text)}`",
                f'write "{shown(scalar.text)}"',
            )
    return key.text()


def _decoded(data: bytes | str, path: str) -> str:
    start = Place(path, 1, 1)
    try:
        raw = data.encode() if isinstance(data, str) else data
    except UnicodeEncodeError:
        raise start.error("expected UTF-8") from None
    if len(raw) > MAX_BYTES:
        raise start.error(f"expected at most {MAX_BYTES} bytes, got {len(raw)}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        raise _place(before, len(before), path).error(
            f"expected UTF-8, got byte 0x{raw[error.start]:02x}",
            "save the file as UTF-8",
        ) from None


def _forbidden(text: str, at: int, path: str) -> SourceError:
    code = ord(text[at])
    hints = {
        0x09: "indent with spaces",
        0xFEFF: "save the file as UTF-8 without byte order mark",
        0x0D: "end lines with a line feed",
    }
    return _place(text, at, path).error(
        f"forbidden character U+{code:04X}", hints.get(code, "")
    )


def _place(text: str, at: int, path: str) -> Place:
    before = text[:at]
    return Place(path, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)

"""A Scorecard in PMML 4 (https://www.dmg.org/v4-4-1/Scorecard.html).

Read is what a table of bins can say: `Characteristic` by `Characteristic`, each over
one field, and in it every `Attribute` with a `partialScore` and a predicate:

    SimplePredicate         equal, lessThan, lessOrEqual, greaterThan, greaterOrEqual,
                            isMissing
    SimpleSetPredicate      isIn
    CompoundPredicate       and, of two bounds of a number
    True                    whatever no attribute before it has, missing values too

As the standard has it, an attribute counts when it is the first that is true.  Reason
codes are passed over: the bank is told an outcome, not why.  Everything that would make
another score is refused by name and line: `ComplexPartialScore`, transformations,
`Targets`, replaced or treated values of a `MiningField`, and other models.  So is a
bin that may take what its `DataField` does not call valid, unless the `MiningField`
says `invalidValueTreatment="asIs"`: the standard's score of such a row is none.

XML is read with expat, from the standard library, in one pass.  A document type
declaration is refused as soon as it begins, so there are no entities but the five of
XML itself: nothing expands (billion laughs), and nothing is fetched (XXE).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final, NoReturn
from xml.parsers import expat

from contracts.errors import DocumentInvalid
from contracts.scorecard import (
    MAX_BYTES,
    Bin,
    Card,
    Interval,
    gather,
    points,
    read_number,
)
from contracts.source import Place, shown, suggest

NAMESPACE: Final = "http://www.dmg.org/PMML-4_"
MAX_DEPTH: Final = 32
SPACE: Final = "|"  # between namespace and name, as expat is told to write them

PASSED_OVER: Final = (  # they change no score
    "Extension",
    "Header",
    "MiningBuildTask",
    "ModelExplanation",
    "ModelStats",
    "ModelVerification",
    "Output",
)
_BOUNDS: Final = ("lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual")
_OPERATORS: Final = ("equal", *_BOUNDS, "isMissing")
INVALID: Final = "invalidValueTreatment"
AS_IS: Final = "asIs"
_TREATMENTS: Final = {  # of a MiningField, and what leaves the score alone
    INVALID: ("returnInvalid", AS_IS),
    "missingValueReplacement": (),
    "outliers": (AS_IS,),
}


@dataclass(slots=True)
class _Element:
    """One element of the tree; texts are kept where they matter, in `Array`."""

    name: str
    attributes: dict[str, str]
    place: Place
    children: list["_Element"] = field(default_factory=list)
    text: str = ""

    def all(self, *names: str) -> Iterator["_Element"]:
        """Yield children, which must be of these names or of `PASSED_OVER`."""
        for child in self.children:
            if child.name in names:
                yield child
            elif child.name not in PASSED_OVER:
                raise child.place.error(
                    f"`{shown(child.name)}` in `{self.name}` is not read",
                    suggest("", names),
                )

    def get(self, name: str) -> str:
        """Return an attribute that must be there."""
        if name not in self.attributes:
            raise self.place.error(f"`{self.name}` has no `{name}`")
        return self.attributes[name]

    def word(self, name: str, known: tuple[str, ...]) -> str:
        """Return an attribute that is one of the `known` words."""
        text = self.get(name)
        if text not in known:
            raise self.place.error(
                f"`{name}` `{shown(text)}` is not read", suggest(text, known)
            )
        return text

    def number(self, name: str) -> Fraction:
        """Return an attribute that is a number."""
        number = read_number(self.get(name))
        if number is None:
            raise self.place.error(
                f"expected a number, got `{shown(self.attributes[name])}`"
            )
        return number


@dataclass(frozen=True, slots=True)
class _Field:
    """What the dictionary says of a field."""

    number: bool
    valid: tuple[_Element, ...]  # `Value`, `Interval`; none where everything is


def read(data: bytes, path: str) -> Card:
    """Read a card; raises `SourceError`, `DocumentInvalid`."""
    root = _parse(data, path)
    if root.name != "PMML":
        raise root.place.error(f"expected `PMML`, got `{shown(root.name)}`")
    fields, cards = dict[str, _Field](), list[_Element]()
    for child in root.all("DataDictionary", "Scorecard"):
        if child.name == "Scorecard":
            cards.append(child)
        else:
            fields |= dict(_fields(child))
    if len(cards) != 1:
        raise root.place.error(f"expected one `Scorecard`, got {len(cards)}")
    return _card(cards[0], fields, path)


def _fields(dictionary: _Element) -> Iterator[tuple[str, _Field]]:
    """Yield each field and its name."""
    for item in dictionary.all("DataField"):
        optype = item.word("optype", ("continuous", "categorical", "ordinal"))
        valid = tuple(item.all("Value", "Interval"))
        for value in valid:
            if value.attributes.get("property", "valid") != "valid":
                raise value.place.error(
                    "a value that counts as missing or invalid is not read",
                    "say so in the dataset: `missing: {..., texts: [...]}`",
                )
        yield item.get("name"), _Field(optype == "continuous", valid)


def _card(card: _Element, fields: dict[str, _Field], path: str) -> Card:
    if card.attributes.get("isScorable", "true") != "true":
        raise card.place.error("the card says that it is not to be scored with")
    base, bins = Fraction(0), list[tuple[str, Bin]]()
    if "initialScore" in card.attributes:
        base = card.number("initialScore")
    for part in card.all("MiningSchema", "Characteristics"):
        if part.name == "MiningSchema":
            for item in part.all("MiningField"):
                for name, known in _TREATMENTS.items():
                    if name in item.attributes:
                        item.word(name, known)
                name = item.get("name")
                if item.attributes.get(INVALID) == AS_IS and name in fields:
                    fields = fields | {name: replace(fields[name], valid=())}
        else:
            for item in part.all("Characteristic"):
                bins += _characteristic(item, fields)
    return gather(base, bins, path, ())


def _characteristic(
    characteristic: _Element, fields: dict[str, _Field]
) -> Iterator[tuple[str, Bin]]:
    attributes = list(characteristic.all("Attribute"))
    names = {name for item in attributes for name in _named(item)}
    if len(names) != 1:
        raise characteristic.place.error(
            f"expected a characteristic of one field, got {len(names)}"
        )
    name = names.pop()
    if name not in fields:
        raise characteristic.place.error(
            f"no `DataField` `{shown(name)}`", suggest(name, list(fields))
        )
    for item in attributes:
        worth = points(item.get("partialScore"), item.place)
        predicates = list(item.all(*_PREDICATES))
        if len(predicates) != 1:
            raise item.place.error("expected one predicate in `Attribute`")
        found = _bin(predicates[0], worth, number=fields[name].number)
        _check_valid(name, found, fields[name].valid)
        yield name, found


def _check_valid(name: str, found: Bin, valid: tuple[_Element, ...]) -> None:
    """Refuse a bin that may take what the field's dictionary does not call valid."""
    hint = f'`{INVALID}="{AS_IS}"` in the `MiningField` scores every value by its bin'
    for item in valid:
        if item.name == "Interval":
            raise item.place.error(
                f"`{shown(name)}`: a valid `Interval` is not read", hint
            )
    texts = {item.get("value") for item in valid}
    if valid and (found.interval or found.other or not texts.issuperset(found.texts)):
        raise found.place.error(
            f"`{shown(found.text)}` of `{shown(name)}` may take more than its valid"
            " values",
            hint,
        )


_ITEM = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^\s"]\S*))\s*', re.DOTALL)
_PREDICATES: Final = (
    "SimplePredicate",
    "SimpleSetPredicate",
    "CompoundPredicate",
    "True",
)


def _named(element: _Element) -> Iterator[str]:
    if "field" in element.attributes:
        yield element.attributes["field"]
    for child in element.children:
        if child.name not in PASSED_OVER:
            yield from _named(child)


def _bin(predicate: _Element, worth: Fraction, *, number: bool) -> Bin:
    """Turn a predicate into what falls into a bin."""
    place = predicate.place
    if predicate.name == "True":
        every = Interval(None, None) if number else None
        return Bin("True", worth, place, every, missing=True, other=not number)
    if predicate.name == "SimpleSetPredicate":
        predicate.word("booleanOperator", ("isIn",))
        arrays = list(predicate.all("Array"))
        if number or len(arrays) != 1:
            raise place.error("expected one `Array` of texts, over a categorical field")
        texts = _array(arrays[0])
        return Bin(", ".join(texts), worth, place, texts=texts)
    if predicate.name == "CompoundPredicate":
        predicate.word("booleanOperator", ("and",))
        bounds = list(predicate.all("SimplePredicate"))
        if len(bounds) != 2 or not number:  # noqa: PLR2004
            raise place.error("expected two bounds of a number")
        return _between(place, worth, bounds)
    operator = predicate.word("operator", _OPERATORS)
    if operator == "isMissing":
        return Bin("isMissing", worth, place, missing=True)
    if number:
        return _between(place, worth, [predicate])
    if operator != "equal":
        raise place.error(f"`{operator}` over a categorical field is not read")
    value = predicate.get("value")
    return Bin(value, worth, place, texts=(value,))


def _between(place: Place, worth: Fraction, bounds: list[_Element]) -> Bin:
    low = high = None
    low_closed, high_closed = True, False
    words = [bound.word("operator", ("equal", *_BOUNDS)) for bound in bounds]
    for bound, word in zip(bounds, words, strict=True):
        if word == "equal" or word.startswith("greater"):
            low, low_closed = bound.number("value"), word != "greaterThan"
        if word == "equal" or word.startswith("less"):
            high, high_closed = bound.number("value"), word != "lessThan"
    if len({word[:4] for word in words}) != len(words) or (
        "equal" in words and len(words) > 1
    ):
        raise place.error("expected a bound below and a bound above")
    text = " and ".join(
        f"{word} {bound.get('value')}"
        for bound, word in zip(bounds, words, strict=True)
    )
    interval = Interval(low, high, low_closed, high_closed)
    if low is not None and high is not None and low > high:
        raise place.error(f"`{text}` is empty")
    return Bin(text, worth, place, interval)


def _array(array: _Element) -> tuple[str, ...]:
    """Read an Array: texts between spaces, in quotes where they have any."""
    array.word("type", ("string", "int", "real"))
    texts, at, written = list[str](), 0, array.text.strip()
    while at < len(written):
        item = _ITEM.match(written, at)
        if item is None:
            raise array.place.error("a quotation mark is not closed")
        quoted, plain = item.groups()
        texts.append(plain if quoted is None else quoted.replace('\\"', '"'))
        at = item.end()
    if "n" in array.attributes and array.attributes["n"] != str(len(texts)):
        raise array.place.error(
            f"expected {shown(array.attributes['n'])} values, got {len(texts)}"
        )
    if not texts:
        raise array.place.error("expected values, got none")
    return tuple(texts)


# -- XML -----------------------------------------------------------------------


def _parse(data: bytes, path: str) -> _Element:
    """Read XML without a document type; raises `SourceError`."""
    if len(data) > MAX_BYTES:
        raise DocumentInvalid(f"{path}: expected at most {MAX_BYTES} bytes")
    tree = _Tree(path)
    parser = tree.parser
    try:
        parser.Parse(data, True)  # noqa: FBT003
    except (expat.ExpatError, ValueError, LookupError) as error:
        code = error.code if isinstance(error, expat.ExpatError) else 0
        what = expat.ErrorString(code) if code else "unknown encoding"
        raise tree.place().error(f"not XML: {what}") from None
    return tree.root.children[0]


class _Tree:
    """Builds the tree of elements while expat reads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.root = _Element("", {}, Place(path, 1, 1))
        self._open = [self.root]
        self.parser = expat.ParserCreate(namespace_separator=SPACE)
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def place(self) -> Place:
        """Return where the parser is."""
        column = self.parser.CurrentColumnNumber + 1
        return Place(self.path, self.parser.CurrentLineNumber, column)

    def _doctype(self, *_: object) -> NoReturn:
        raise self.place().error(
            "a document type declaration is not allowed",
            "remove it: a PMML file needs none",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition(SPACE)
        extension = any(item.name == "Extension" for item in self._open)
        if not space.startswith(NAMESPACE) and not extension:
            raise self.place().error(
                f"`{shown(name)}` is not of PMML 4", f"expected `{NAMESPACE}...`"
            )
        if len(self._open) > MAX_DEPTH:
            raise self.place().error(f"expected at most {MAX_DEPTH} levels")
        element = _Element(name, attributes, self.place())
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, found: str) -> None:
        if self._open[-1].name == "Array":
            self._open[-1].text += found

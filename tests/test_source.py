"""One file means one thing, and an error says where (TESTS 51)."""

import re
import time
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.errors import SourceError
from contracts.source import (
    MAX_BYTES,
    Document,
    Node,
    Scalar,
    from_json,
    parse,
    suggest,
)


def refused(data: bytes | str) -> SourceError:
    """Return the error that `data` ends in."""
    with pytest.raises(SourceError) as caught:
        parse(data, "f.yaml")
    return caught.value


def value(text: str) -> Node:
    """Return the node of one YAML value."""
    return parse(f"k: {text}\n", "f.yaml").members(("k",))["k"]


@pytest.mark.parametrize(
    ("crime", "data", "line", "column", "message"),
    [
        ("duplicate key", "a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key `a`"),
        ("duplicate key, quoted", "a: 1\n'a': 3\n", 2, 1, "duplicate key `a`"),
        ("duplicate key, inside", "x:\n  - {a: 1, a: 2}\n", 2, 12, "duplicate key"),
        ("anchor", "a: &x 1\n", 1, 4, "anchor `&x` is not allowed"),
        ("alias", "a: 1\nb: *x\n", 2, 4, "alias `*x` is not allowed"),
        ("alias as key", "*x : 1\n", 1, 1, "alias `*x` is not allowed"),
        ("anchor on a list", "a: &x [1]\n", 1, 4, "anchor `&x` is not allowed"),
        ("merge key", "a:\n  <<: 1\n", 2, 3, "merge key `<<` is not allowed"),
        (
            "python object",
            "a: !!python/object/apply:os.system ['id']\n",
            1,
            4,
            "tag `tag:yaml.org,2002:python/object/apply:os.system` is not al",
        ),
        ("tag", "a: !!str 1\n", 1, 4, "tag `tag:yaml.org,2002:str` is not allowed"),
        ("local tag", "a: !x {}\n", 1, 4, "tag `!x` is not allowed"),
        ("empty tag", "a: ! x\n", 1, 4, "tag `!` is not allowed"),
        ("byte order mark", "\ufeffa: 1\n", 1, 1, "forbidden character U+FEFF"),
        ("byte order mark inside", "a: 1\nb: \ufeff\n", 2, 4, "forbidden character"),
        ("two documents", "a: 1\n---\nb: 1\n", 2, 1, "expected one document, got anot"),
        ("directive", "%YAML 1.1\n---\na: 1\n", 1, 1, "directives are not allowed"),
        ("tag directive", "%TAG ! x:\n---\na: 1\n", 1, 1, "directives are not allow"),
        ("number as key", "1: a\n", 1, 1, "expected a key of text, got `1`"),
        ("float as key", "a: 1\n1.5: a\n", 2, 1, "expected a key of text, got `1.5`"),
        ("date as key", "2025-01-01: a\n", 1, 1, "expected a key of text"),
        ("truth as key", "a: 1\nno: 2\n", 2, 1, "expected text, got `no` unquoted"),
        ("null as key", "~: 2\n", 1, 1, "expected text, got `~` unquoted"),
        ("nothing as key", ": 2\n", 1, 1, "not YAML: did not find expected key"),
        ("list as key", "? [a, b]\n: 1\n", 1, 3, "expected a key of text"),
        ("object as key", "{a: 1}: 1\n", 1, 1, "expected a key of text"),
        ("tab", "a:\n\tb: 1\n", 2, 1, "forbidden character U+0009"),
        ("tab in text", "a: x\ty\n", 1, 5, "forbidden character U+0009"),
        ("zero byte", "a: x\0\n", 1, 5, "forbidden character U+0000"),
        ("control character", "a: 1\nb: 县\x07\n", 2, 5, "forbidden character U+0007"),
        ("escaped control", 'a: "x\\x07"\n', 1, 4, "forbidden character in a text"),
        ("escaped zero", 'a: "x\\0"\n', 1, 4, "forbidden character in a text"),
        ("bidi override", "a: 1 # \u202e\n", 1, 8, "forbidden character U+202E"),
        ("next line", "a: 1\u0085b: 2\n", 1, 5, "forbidden character U+0085"),
        ("line separator", "a: x\u2028b: 2\n", 1, 5, "forbidden character U+2028"),
        ("lone carriage return", "a: 1\rb: 2\n", 1, 5, "forbidden character U+000D"),
        ("not UTF-8", b"a: 1\nb: \xff\n", 2, 4, "expected UTF-8, got byte 0xff"),
        ("GBK", "a: 银行\n".encode("gbk"), 1, 4, "expected UTF-8, got byte 0xd2"),
        ("UTF-16", "a: 1\n".encode("utf-16-be"), 1, 1, "forbidden character U+0000"),
        ("surrogate", "a: \ud800\n", 1, 1, "expected UTF-8"),
        ("escaped surrogate", 'a: "\\ud800"\n', 1, 7, "not YAML: found invalid Uni"),
        ("open list", "a: [1, 2\n", 2, 1, "not YAML: did not find expected ',' or ']'"),
        ("bad indentation", "a: b\n c: d\n", 2, 3, "not YAML: mapping values are not"),
        ("at sign", "a: @b\n", 1, 4, "not YAML: found character that cannot start"),
        ("empty", "", 1, 1, "the document is empty"),
        ("comment only", "# nothing\n", 2, 1, "the document is empty"),
        ("too deep", "a: " + "[" * 32 + "]" * 32, 1, 35, "at most 32 levels"),
        ("10 MB", b"a: " + b"x" * 10_000_000, 1, 1, "at most 1000000 bytes, got 100"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalnum() else "",
)
def test_a_bad_file_is_refused_at_its_line_and_column(
    crime: str, data: bytes | str, line: int, column: int, message: str
) -> None:
    """Every way to hide a second meaning is refused, with its place."""
    error = refused(data)
    assert (error.line, error.column) == (line, column), crime
    assert message in error.message
    assert str(error) == f"f.yaml:{line}:{column}: {error.message}"
    assert "\n" not in str(error)


def test_a_hint_stands_apart_from_its_message() -> None:
    """The message says what, the hint what to do."""
    error = refused("a:\n  - 1\n  - x: 1\n    x: 2\n")
    assert error.hint == "it is first in line 3"
    assert refused("a: 1\nyes: 2\n").hint == 'write "yes"'
    assert refused("\tb: 1").hint == "indent with spaces"


def test_a_bomb_of_nesting_ends_at_once() -> None:
    """A megabyte of brackets costs no more than its first 33."""
    start = time.process_time()
    error = refused("[" * (MAX_BYTES - 1))
    # libyaml reads ahead of our count, and has a limit of its own since 0.2.6.
    assert re.search("at most 32 levels|maximum nesting depth", error.message)
    assert error.line == 1
    assert time.process_time() - start < 1


def test_a_large_document_stays_cheap() -> None:
    """A megabyte of items is read, or refused by number, in seconds."""
    start = time.process_time()
    root = parse("k: [" + "a," * 300_000 + "a]", "f.yaml")
    with pytest.raises(SourceError, match="expected 0 to 10000 items, got 300001"):
        root.members(("k",))["k"].items()
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "word", ["yes", "No", "on", "OFF", "true", "null", "~", "Null"]
)
def test_a_word_other_readers_take_for_a_truth_value_must_be_quoted(word: str) -> None:
    """The Norway problem: `NO` is a country only in quotes."""
    with pytest.raises(SourceError) as caught:
        value(word).text()
    assert caught.value.hint == f'write "{word}"'
    assert value(f'"{word}"').text() == word


@pytest.mark.parametrize("text", ["1.10", "007", "1_000", "2025-01-01", "... < 0 DM"])
def test_text_keeps_its_text(text: str) -> None:
    """Nothing is resolved: what stands in the file is what is read."""
    assert value(text).text() == text


@pytest.mark.parametrize(
    "text",
    [
        *("", '""', "1.0", '"5"', "1_000", "0x10", "010", "+5", "1e3", "五", "５"),
        *("-0", "[1]", "{a: 1}", "9" * 16, "9" * 5000),
    ],
)
def test_an_integer_is_plain_digits(text: str) -> None:
    """Nothing that needs a second look is an integer."""
    with pytest.raises(SourceError, match="expected an integer"):
        value(text).integer(-100, 100)


def test_an_integer_has_a_range() -> None:
    """The range is part of the question."""
    assert value("-7").integer(-7, 7) == -7
    with pytest.raises(SourceError, match=r"^f\.yaml:1:4: expected 0 to 7, got -7"):
        value("-7").integer(0, 7)


def test_a_decimal_is_exact() -> None:
    """No float is ever made."""
    assert value("0.1").decimal() + value("0.2").decimal() == Decimal("0.3")
    assert str(value("-0.0").decimal()) == "0"
    for text in ("1e3", ".5", "5.", ".inf", ".nan", "1,5", "0.1234567890"):
        with pytest.raises(SourceError, match="expected a number"):
            value(text).decimal()


def test_a_released_value_is_an_integer_or_text() -> None:
    """`4.35` would be a float elsewhere; it has to be quoted."""
    assert value("30000000").value() == 30_000_000
    assert value('"435"').value() == "435"
    assert value("AAA").value() == "AAA"
    with pytest.raises(SourceError) as caught:
        value("4.35").value()
    assert caught.value.hint == 'quote it: "4.35"'


def test_a_flag_is_true_or_false() -> None:
    """`yes` is not."""
    assert (value("true").flag(), value("false").flag()) == (True, False)
    for text in ("yes", '"true"', "1", "[true]"):
        with pytest.raises(SourceError, match="expected true or false"):
            value(text).flag()


def test_a_cell_may_be_empty_when_quoted() -> None:
    """An empty cell is a value; a forgotten one is not."""
    assert value('""').cell() == ""
    with pytest.raises(SourceError, match="got nothing"):
        value("").cell()


def test_a_name_is_lower_case() -> None:
    """Names travel in file names, URIs and logs."""
    assert value("german-card").name() == "german-card"
    for text in ("German", "a_b", "1a", "-a", "税", "a" * 64, "a b", '"a\\n"'):
        with pytest.raises(SourceError):
            value(text).name()


def test_text_is_one_line_of_bounded_length() -> None:
    """A block scalar or a novel is no name for anything."""
    for text in ('""', '"a\\nb"', "|\n  a\n  b", "x" * 501):
        with pytest.raises(SourceError, match="one line of 1 to 500 characters"):
            value(text).text()


def test_an_unknown_key_is_refused_with_the_nearest_known() -> None:
    """A misspelt key is never silently dropped."""
    root = parse("name: a\ncolums: b\n", "f.yaml")
    with pytest.raises(SourceError) as caught:
        root.members(("name", "columns"))
    assert str(caught.value) == "f.yaml:2:1: unknown key `colums`"
    assert caught.value.hint == "did you mean `columns`?"
    with pytest.raises(SourceError, match="1:1: missing key `other`"):
        root.members(("name", "other"), ("colums",))


def test_shapes_are_told_apart() -> None:
    """A list is no object, an object no text."""
    with pytest.raises(SourceError, match="1:4: expected a list, got `a`"):
        value("a").items()
    with pytest.raises(SourceError, match="expected keys and values, got a list"):
        value("[a]").members()
    with pytest.raises(SourceError, match="expected text, got keys and values"):
        value("{a: b}").text()
    with pytest.raises(SourceError, match="expected at least 1 keys"):
        value("{}").entries(least=1)


def test_a_document_has_four_members() -> None:
    """Kind and version are read before anything else."""
    good = "apiVersion: safehouse/v1\nkind: Dataset\nmetadata: {}\nspec: {}\n"
    assert Document.parse(good, "f.yaml", "Dataset").kind == "Dataset"
    with pytest.raises(SourceError, match="2:7: expected kind `Consent`, got `Data"):
        Document.parse(good, "f.yaml", "Consent")
    with pytest.raises(SourceError, match="1:13: expected apiVersion `safehouse/v1`"):
        Document.parse(good.replace("/v1", "/v2"), "f.yaml")
    with pytest.raises(SourceError) as caught:
        Document.parse(good.replace("Dataset", "Datset"), "f.yaml")
    assert caught.value.hint == "did you mean `Dataset`?"


def test_windows_line_ends_are_line_ends() -> None:
    """A file saved on Windows reads the same."""
    root = parse(b"a: 1\r\nb: x\r\n", "f.yaml")
    assert root.members(("a", "b"))["b"].text() == "x"


def test_a_canonical_document_reads_like_yaml() -> None:
    """JSON goes through the same questions and has no lines."""
    root = from_json({"a": [1, "x", True], "b": {"c": "0.5"}}, "schema")
    members = root.members(("a", "b"))
    first, second, third = members["a"].items()
    assert (first.integer(0, 9), second.text(), third.flag()) == (1, "x", True)
    assert members["b"].members(("c",))["c"].decimal() == Decimal("0.5")
    with pytest.raises(SourceError, match=r"^schema: expected text, got a list$"):
        members["a"].text()
    with pytest.raises(SourceError, match="got null"):
        from_json(None, "schema")
    with pytest.raises(SourceError, match="forbidden character"):
        from_json("a\x00", "schema")


def test_a_suggestion_lists_few() -> None:
    """A hint stays one line."""
    assert suggest("q", []) == ""
    assert suggest("q", [f"word-{i}" for i in range(99)]).endswith("another of 99")


def outcome(data: bytes | str) -> bool:
    """Report whether `data` is read, or refused in one line at a place."""
    try:
        return bool(parse(data, "f.yaml"))
    except SourceError as error:
        return "\n" not in str(error) and error.line >= 1 and error.column >= 1


@settings(max_examples=300)
@given(
    st.text(
        alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t0.~\\\r\ufeff\0县"),
        max_size=60,
    )
)
@example("a: !<x> b")
@example("? \n: ")
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input ends in anything but a tree or a `SourceError` of one line."""
    assert outcome(text)


@settings(max_examples=200)
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Bytes that are no text are refused as such."""
    assert outcome(data)


@settings(max_examples=200)
@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co"]),
        min_size=1,
        max_size=40,
    )
)
def test_quoted_text_survives(text: str) -> None:
    """What stands in quotes is what is read."""
    quoted = text.replace("'", "''")
    content = value(f"'{quoted}'").content
    assert content == Scalar(text, plain=False)

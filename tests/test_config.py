"""The configuration file: strict, with the line and a hint."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import config
from node.config import parse
from node.domain import Role
from node.errors import ConfigInvalid

ROOT = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
HOUSE = f"""\
role = "house"
id = "house"
domain = "../domain.json"
root_key = "{ROOT}"
keystore = "keys.sealed"
data = "/var/lib/safehouse"
listen = "127.0.0.1:7443"

[peers]
authority = "[::1]:7444"

[limits]
concurrency = 6
"""
FILE = Path("x/safehouse.toml")


def test_a_good_file_is_read() -> None:
    """Every value arrives, paths stand on the file, limits have defaults."""
    found = parse(HOUSE, FILE)
    assert (found.role, found.id, found.listen) == (
        Role.HOUSE,
        "house",
        "127.0.0.1:7443",
    )
    assert found.root_key.public_bytes_raw().hex() == ROOT
    assert (found.domain, found.keystore) == (
        Path("x/../domain.json"),
        Path("x/keys.sealed"),
    )
    assert (found.data, found.passphrase_file) == (Path("/var/lib/safehouse"), None)
    assert (found.house, found.authority) == ("", "[::1]:7444")
    assert found.limits == config.Limits(4 << 20, 6, 30_000)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("concurrency", "concurency", "13: unknown key `limits.concurency`", "`conc"),
        ("data =", "date =", "6: unknown key `date`", "did you mean `data`?"),
        ("[peers]", "[pears]", "9: unknown key `pears`", "did you mean `peers`?"),
        ("authority =", "bank =", "10: unknown key `peers.bank`", ""),
        ('"house"\nid', '"hause"\nid', "1: unknown role `hause`", "mean `house`?"),
        ("= 6", "= 0", "13: `limits.concurrency`: expected 1 to 4096, got `0`", ""),
        ("= 6", "= true", "13: `limits.concurrency`: expected 1 to 4096", ""),
        ("= 6", '= "6"', "13: `limits.concurrency`: expected 1 to 4096", ""),
        ("= 6", "= 6.0", "13: `limits.concurrency`: expected 1 to 4096", ""),
        ('"keys.sealed"', "7", "5: `keystore`: expected a string", ""),
        ('"keys.sealed"', '""', " missing key `keystore`", ""),
        (ROOT, ROOT[:-1], "4: `root_key`: expected 64 hexadecimal digits", ""),
        (ROOT, ROOT.upper(), "4: `root_key`: expected 64 hexadecimal digits", ""),
        (":7443", "", "7: `listen`: expected `host:port`, got `127.0.0.1`", ""),
        (":7443", ":74430", "7: `listen`: expected `host:port`", ""),
        ("[::1]:7444", "http://h:1", "10: `authority`: expected `host:port`", ""),
        ('id = "house"', 'id = "../x"', "2: `id`: expected the id of a party", ""),
        ('listen = "127.0.0.1:7443"', "", " missing key `listen`", ""),
        ('authority = "[::1]:7444"', "", " missing key `peers.authority`", ""),
        ('"house"\nid', '"authority"\nid', None, ""),
        ('"house"\nid', '"bank"\nid', " missing key `peers.house`", ""),
        ("[peers]", '[peers]\nhouse = "a:1"', None, ""),
        ("listen =", "listen", "7:8: ", ""),
        (
            "[limits]\nconcurrency = 6",
            "limits = 6",
            "12: unknown key `peers.limits`",
            "",
        ),
        ("concurrency = 6", "concurrency = 6\nconcurrency = 6", "14:16: ", ""),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    old: str, new: str, message: str | None, hint: str
) -> None:
    """One change to a good file gives one error, or none."""
    assert old in HOUSE
    text = HOUSE.replace(old, new, 1)
    if message is None:
        assert parse(text, FILE)
        return
    with pytest.raises(ConfigInvalid) as caught:
        parse(text, FILE)
    assert str(caught.value).startswith(f"{FILE}:{message}")
    assert hint in caught.value.hint


def test_only_servers_listen() -> None:
    """A bank with a `listen` is a mistake, not an option."""
    text = HOUSE.replace('"house"\nid', '"bank"\nid').replace("authority", "house")
    with pytest.raises(ConfigInvalid, match="7: a bank does not listen"):
        parse(text, FILE)


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    """No traceback for a wrong folder; a folder stands for the file in it."""
    with pytest.raises(ConfigInvalid, match="cannot read") as caught:
        config.load(tmp_path)
    assert "safehouse init" in caught.value.hint
    (tmp_path / "safehouse.toml").write_text(HOUSE)
    assert config.load(tmp_path) == config.load(tmp_path / "safehouse.toml")
    (tmp_path / "safehouse.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigInvalid, match="not UTF-8"):
        config.load(tmp_path)


@given(st.text(max_size=80), st.integers(0, len(HOUSE)))
def test_no_text_gets_past_typed_errors(text: str, position: int) -> None:
    """Whatever stands in the file, it is read or refused."""
    for candidate in (text, HOUSE[:position] + text + HOUSE[position:]):
        with contextlib.suppress(ConfigInvalid):
            parse(candidate, FILE)

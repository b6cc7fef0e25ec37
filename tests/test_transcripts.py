"""Whatever a page shows in a console block is what happens.

A block is a list of `$ command` lines, each followed by what it prints, stdout and
stderr as they come; `...` stands for anything; `[exit N]` closes a command that
must fail; a command that ends with `&` goes on running while the page is read, and
is stopped after it.  All blocks of a page run in one empty folder, with

    EXAMPLES          the checkout's examples/
    HOUSE, AUTHORITY  addresses on loopback that nobody uses

The Chinese pages show the same blocks and are compared, not run.
"""

import doctest
import os
import re
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
COMMENT = re.compile(r" +# .*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)\)")
NAMED_TEST = re.compile(r"`(test_\w+)`")
LONG = "jobs.md"  # a minute of a core: nodes, three pushes, jobs, an audit
BLANKS = re.compile(r" +$", re.MULTILINE)
READMES = [ROOT / "README.md", *sorted(ROOT.glob("examples/*/README.md"))]
CHINESE = [page.with_name("README.zh-CN.md") for page in READMES]
SECURITY = ROOT / "SECURITY.md"
LINKING = [*READMES, *CHINESE, SECURITY]
PAGES = [*READMES, *sorted((ROOT / "tests/transcripts").glob("*.md"))]


def name(page: Path) -> str:
    """Name a page in the checkout."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """List a page's fenced blocks: (language, text)."""
    return FENCED.findall(page.read_text("utf-8"))


def steps(page: Path) -> list[tuple[str, str]]:
    """List a page's commands and what each must print."""
    shown = [text for language, text in blocks(page) if language == "console"]
    return [step for text in shown for step in STEP.findall(text)]


class Desk:
    """An empty folder with a shell, where nothing of ours is set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SAFEHOUSE_")}
        house, authority = free_addresses()
        self.env = kept | {
            "PATH": path,
            "EXAMPLES": str(ROOT / "examples"),
            "HOUSE": house,
            "AUTHORITY": authority,
            "COLUMNS": "80",
            "TERM": "dumb",
        }
        self.stack = ExitStack()

    def run(self, command: str) -> str:
        """Run a command to its end; return what it printed, and how it failed."""
        ran = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return ran.stdout + (f"[exit {ran.returncode}]\n" if ran.returncode else "")

    def start(self, command: str) -> str:
        """Run a command beside the page; return its first line."""
        child = self.stack.enter_context(
            subprocess.Popen(
                f"exec {command}",
                shell=True,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        self.stack.callback(child.terminate)
        assert child.stdout is not None
        return child.stdout.readline()


def free_addresses() -> list[str]:
    """Find two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Lend a desk; whatever still runs there is stopped."""
    lent = Desk(tmp_path)
    with lent.stack:
        yield lent


def same(wanted: str, got: str) -> bool:
    """Compare with `...` for anything; blanks at the ends of lines do not show."""
    wanted, got = (BLANKS.sub("", text) for text in (wanted, got))
    return doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)


def replayed() -> list[object]:
    """List the pages with commands; the longest is left to `make test-all`."""
    pages = [page for page in PAGES if steps(page)]
    return [
        pytest.param(page, marks=pytest.mark.slow) if page.name == LONG else page
        for page in pages
    ]


@pytest.mark.parametrize("page", replayed(), ids=name)
def test_transcript_is_what_happens(page: Path, desk: Desk) -> None:
    """Every command on the page prints what the page says it prints."""
    for command, wanted in steps(page):
        if command.endswith("&"):
            got = desk.start(command.removesuffix("&"))
        else:
            got = desk.run(command)
        assert same(wanted, got), f"$ {command}\nwanted:\n{wanted}\ngot:\n{got}"


@pytest.mark.parametrize("chinese", CHINESE, ids=name)
def test_the_readme_in_chinese_keeps_step(chinese: Path) -> None:
    """As many sections of each depth, and the same blocks but for their comments."""

    def shape(page: Path) -> tuple[list[str], list[tuple[str, str]]]:
        prose = FENCED.sub("", page.read_text("utf-8"))
        bare = [(language, COMMENT.sub("", text)) for language, text in blocks(page)]
        return HEADING.findall(prose), bare

    assert shape(chinese) == shape(chinese.with_name("README.md"))


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Links lead to files of the checkout, and tests that are named exist."""
    text = page.read_text("utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    tests = {path.stem for path in ROOT.glob("tests/**/test_*.py")}

    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [test for test in NAMED_TEST.findall(text) if test not in tests] == []


def test_every_attack_is_in_the_table() -> None:
    """The README says so of SECURITY.md: with who tries it, and what stops it."""
    attacks = {path.stem for path in ROOT.glob("tests/attacks/test_*.py")}

    assert attacks - set(NAMED_TEST.findall(SECURITY.read_text("utf-8"))) == set()

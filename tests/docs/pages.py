"""The project's documents as tests read them: their links, file names and shell blocks.

A shell block is marked by its info string: `sh run` is run on this machine, since it needs neither
root nor the kfunc, `sh lab` in the lab, and `sh jq` by test_jq.py. Any other block of `sh` is only
parsed.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hints import PROGRAMS, typed

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "bpf/kernel/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

_FENCE = re.compile(r"^( *)```(.*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_FILE = re.compile(r"(?<![\w/.-])(?:oomctl|bpf|tests|docs|examples)/[\w./*-]*[\w*]/?")
_ELSEWHERE = {
    *(PROGRAMS.keys() - {"bpf-oomctl", "systemd-run", "sysctl"}),
    *("cd", "exit", "insmod", "install", "ln", "mkdir", "pipx", "pytest", "python3", "uv"),
}
_EXIT = re.compile(r"\bexit code (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: the words after the fence, where it stands, and its lines."""

    page: Path
    line: int
    info: tuple[str, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> Iterator["Command"]:
        """Its commands; a backslash at the end of a line joins the next one to it."""
        text = "\n".join(self.lines).replace("\\\n", " ")
        for line in text.splitlines():
            command, _, comment = line.partition("  #")
            if command.strip() and not command.startswith("#"):
                code = _EXIT.search(comment)
                yield Command(command.strip(), int(code[1]) if code else 0)


@dataclass(frozen=True)
class Command:
    """One command line of a block, and the exit code that its comment names (`exit code 1`)."""

    text: str
    code: int

    def fault(self) -> str:
        """Return what is wrong with it; nothing is carried out but the parsing of oomctl's own."""
        text = re.sub(r" *[0-9]?>{1,2}&?\S+", "", self.text)
        if script := re.fullmatch(r"git bisect run sh -c '(.*)'", text):
            text = script[1]
        return "; ".join(filter(None, map(_fault, re.split(r" (?:&&|\|\|?) |; ", text))))


def _fault(text: str) -> str:
    text = re.sub(r"^(?:sudo )?(?:env )?(?:[A-Z_]+=\S+ )*", "", text)
    text = re.sub(r'^(?:"\$\(command -v oomctl\)"|\S*/bin/oomctl)', "oomctl", text)
    program = Path(text.partition(" ")[0]).name
    return (
        ""
        if program in _ELSEWHERE
        else typed(re.sub(r" -- (?:env )?(?:[A-Z_]+=\S+ )+", " -- ", text))
    )


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    start, info, found = 0, (), []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not start:
            start, info, found = number, tuple(fence[2].split()), []
        elif fence:
            yield Block(page, start, info, tuple(found))
            start = 0
        elif start:
            found.append(line)
    assert not start, f"{page}:{start}: this block has no end"


def shell() -> list[Block]:
    """Return the shell blocks of all pages."""
    return [block for page in PAGES for block in blocks(page) if block.info[:1] == ("sh",)]


def marked(kind: str) -> dict[str, list[Block]]:
    """Return the blocks that are marked as `run` or `lab`, by the name of their page."""
    found: dict[str, list[Block]] = {}
    for page in PAGES:
        if chosen := [block for block in blocks(page) if block.info[1:] == (kind,)]:
            found[str(page.relative_to(ROOT))] = chosen
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    lines = page.read_text().splitlines()
    for block in blocks(page):
        for number in range(block.line - 1, block.line + len(block.lines) + 1):
            lines[number] = ""
    return "\n".join(lines)


def links(page: Path) -> Iterator[str]:
    """Yield where the links of a page go."""
    yield from _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def files(page: Path) -> set[str]:
    """Return the files and folders of the project that a page names; `*` stands for any."""
    return set(_FILE.findall(page.read_text()))


def run(
    found: list[Block], folder: Path, oomctl: Callable[..., tuple[int, str]] | None = None
) -> None:
    """Run the blocks of a page in a folder, and hold each command to the exit code it names.

    `oomctl` takes the words of a command line of oomctl and returns its exit code and its output;
    a slow VM is spared the start of another Python by it.
    """
    (folder / "examples").symlink_to(ROOT / "examples")
    for block in found:
        if block.info[0] == "python":
            text = "\n".join(block.lines)
            commands = [Command(shlex.join([sys.executable, "-c", text]), 0)]
        else:
            commands = [*block.commands]
        for command in commands:
            if oomctl and re.fullmatch(r"oomctl [^|&;<>*$`]+", command.text):
                code, output = oomctl(*shlex.split(command.text)[1:])
            else:
                code, output = _in_a_shell(command, folder)
            assert code == command.code, f"{block}: {command.text}\n{output}"


def _in_a_shell(command: Command, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", "-c", command.text],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout

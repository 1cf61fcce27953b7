"""Options that several commands have, and parsers of option values.

Each parser says what was given and what to write instead.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from oomctl.cli import completion
from oomctl.errors import UsageError
from oomctl.units import Duration, parse_duration, parse_size

_INTEGER = r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})"


def size(value: str | int) -> int:
    """Parse bytes, with K, M, G as powers of 1024."""
    if isinstance(value, int):  # typer parses a default too
        return value
    try:
        return parse_size(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def limit(value: str) -> str:
    """Parse a limit of a cgroup as a scenario has it: bytes, with K, M, G, or max."""
    if value != "max":
        size(value)
    return value


def integer(low: int, high: int) -> Callable[[str | int], int]:
    """Return a parser of integers from `low` to `high`, decimal or 0x hexadecimal."""

    def parse(value: str | int) -> int:
        if isinstance(value, int):
            return value
        if not re.fullmatch(_INTEGER, value, re.ASCII):
            raise typer.BadParameter(f"{value!r} is not a whole number of at most 64 bits")
        number = int(value, 16 if "x" in value.lower() else 10)
        if not low <= number <= high:
            raise typer.BadParameter(f"{number} is out of range; it goes from {low} to {high}")
        return number

    return parse


def duration(low: float, high: float) -> Callable[[str | Duration], Duration]:
    """Return a parser of a time, such as 90s, 10m or 5 (seconds), from `low` to `high` seconds."""

    def parse(value: str | Duration) -> Duration:
        if isinstance(value, Duration):
            return value
        try:
            seconds = Duration(parse_duration(value))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if not low <= seconds <= high:
            raise typer.BadParameter(
                f"{value} is out of range; it goes from {Duration(low)} to {Duration(high)}"
            )
        return seconds

    return parse


def file(value: str | Path) -> Path:
    """Parse the name of a file to be written; Path() would drop a slash at its end."""
    if str(value).endswith("/") and Path(value).name:
        raise typer.BadParameter(f"{value} ends in a slash, as a folder does; name a file")
    return Path(value)


def _module(path: Path | None) -> Path | None:
    """Refuse what insmod would wait for, read without end, or not load."""
    if path is None:
        return None
    if not path.is_file():
        raise typer.BadParameter(f"{path} is not a regular file")
    from oomctl.kmod import elf

    if not elf.whole(path):
        raise typer.BadParameter(
            f"{path} is not a kernel module (a whole ELF file); `oomctl kfunc build` makes one"
        )
    return path


def flag(names: str, text: str) -> Any:
    """Return an option without a value."""
    return typer.Option(names, help=text)


def value(metavar: str, text: str, parser: Any = None, *names: str, **more: Any) -> Any:
    """Return an option with a value; `names` are needed if the field has another."""
    return typer.Option(*names, metavar=metavar, help=text, parser=parser, **more)


def form(forms: Any, more: str = "") -> Any:
    """Return the option --format with the forms of a Literal."""
    *names, last = get_args(forms)
    text = f"Form of the result: {', '.join(names)} or {last}.{more and f' {more}'}"
    return value("FORMAT", text, None, "--format", "-f")


OutputFile = Annotated[
    Path | None,
    value(
        *("FILE", "Write the result to this file instead of stdout (-).", file),
        *("--output", "-o"),
        callback=lambda path: None if path == Path("-") else path,
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show each step, and the logs behind an error.")
]
DryRun = Annotated[
    bool, flag("--dry-run", "Print what would be made, written and called; do none of it.")
]
Yes = Annotated[bool, flag("--yes", "Do not ask before OOM on the whole system.")]
Global = Annotated[bool, flag("--global", "The target is the whole system (NULL memcg).")]
Cgroup = Annotated[
    str | None,
    value(
        "PATH",
        "The target is this cgroup: a directory below the cgroup2 mount, or a path as in "
        "/proc/PID/cgroup.",
    ),
]
LIMIT = "Limit on each of: filling the hogs, one call, the end of its victims."
Scenarios = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Scenario files (TOML); - is stdin.",
        autocompletion=completion.scenarios,
    ),
]
Set = Annotated[
    list[str] | None,
    value(
        "KEY=VALUE",
        "Override a key of every file, such as hog.large.size=64M or call[0].wait=false; may be "
        "repeated.",
        *(None, "--set"),
        autocompletion=completion.overrides,
    ),
]
Module = Annotated[
    Path | None,
    value(
        "FILE",
        "Load this module for the kfunc, instead of one built from oomctl's source.",
        exists=True,
        dir_okay=False,
        readable=True,
        callback=_module,
    ),
]


def _regex(text: str) -> str:
    """Refuse what is not a regular expression."""
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise typer.BadParameter(f"{text!r} is not a regular expression: {error}") from None
    return text


ExpectConsole = Annotated[
    list[str] | None,
    value(
        "REGEX",
        "A fault in the kernel log (panic, oops, WARN, lockdep, KASAN, UBSAN, stall, hung task) "
        "with a line that matches is expected; may be repeated.",
        _regex,
    ),
]


def refuse(given: object, why: str, usable: Collection[str]) -> None:
    """Raise UsageError if a field of the options is set, other than the usable ones."""
    for field in fields(given):  # type: ignore[arg-type]
        if field.name in usable or field.default in (MISSING, getattr(given, field.name)):
            continue
        (option,) = (one for one in get_args(field.type) if hasattr(one, "param_decls"))
        names = (option.default, *(option.param_decls or ()))
        name = next((n for n in names if str(n).startswith("--")), f"--{field.name}")
        raise UsageError(f"{why}, so {name.partition('/')[0]} has no effect", f"leave out {name}")

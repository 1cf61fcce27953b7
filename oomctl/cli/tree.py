"""The command tree: each command is imported when it is asked for; a wrong one is one line."""

import sys
from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError

from oomctl import commandline, console, lazy
from oomctl.cli.command import CACHE, ENVIRONMENT, Group, exit_codes
from oomctl.errors import Exit

COMMANDS: Mapping[str, str | tuple[str, Mapping[str, str]]] = {
    "declare": "declare:declare",
    "run": "run:run",
    "report": "report:report",
    "compare": "compare:compare",
    "predict": "predict:predict",
    "explain": "explain:explain",
    "watch": "watch:watch",
    "doctor": "doctor:doctor",
    "clean": "clean:clean",
    "smoke": "smoke:smoke",
    "scenario": (
        "Start, check and rebuild scenario files; print their schema.",
        {
            "new": "scenario:new",
            "from": "scenario:from_",
            "check": "scenario:check",
            "schema": "scenario:schema",
        },
    ),
    "examples": "examples:examples",
    "kfunc": (
        "Find, build, load and unload what provides bpf_out_of_memory().",
        {name: f"kfunc:{name}" for name in ("status", "build", "load", "unload")},
    ),
    "lab": (
        "Run commands in a virtual machine that has bpf_out_of_memory().",
        {
            "run": "lab:run",
            "fetch": "labfetch:fetch",
            "status": "labfetch:status",
            "smoke": "labsmoke:smoke",
            "build": "labbuild:build",
            "kernels": "labkernels:kernels",
            "shell": "labshell:shell",
            "start": "labkept:start",
            "exec": "labkept:execute",
            "stop": "labkept:stop",
        },
    ),
}
"""Where each command is below oomctl.cli; a group has a help and its own commands."""


VERBOSE = "oomctl.verbose"
"""The key of a context's meta for whether -v is among the words."""


class Commands(UserDict[str, Any]):
    """Typer's commands by name; one that was not asked for yet is its entry in COMMANDS."""

    def __getitem__(self, name: str) -> Any:
        """Return a command, imported if need be."""
        entry = self.data[name]
        if isinstance(entry, str):
            self.data[name] = lazy.load(f"cli.{entry}")
            self.data[name].name = name
        elif isinstance(entry, tuple):
            self.data[name] = _group(name, *entry)
        return self.data[name]


def _group(name: str, text: str, commands: Mapping[str, str]) -> Group:
    group = Group(
        name=name, help=text, epilog=exit_codes(), no_args_is_help=True, rich_markup_mode=None
    )
    group.commands = Commands(commands)
    group.environment = () if name == "scenario" else (CACHE,)
    return group


class Root(Group):
    """The program; a wrong command line is one line, not typer's usage banner."""

    environment = tuple(ENVIRONMENT)

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands(COMMANDS)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; --version needs to know of a -v that comes after it."""
        ctx.meta[VERBOSE] = not {"-v", "--verbose"}.isdisjoint(args)
        return super().parse_args(ctx, args)

    def _main_shell_completion(self, *args: Any, **more: Any) -> None:
        try:
            super()._main_shell_completion(*args, **more)
        except (KeyError, ValueError):  # COMP_WORDS or COMP_CWORD is not what bash sets
            sys.exit(Exit.USAGE)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with its exit code."""
        commandline.remember(sys.argv[1:] if args is None else args)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except NoArgsIsHelpError as error:
            error.show()
            code = Exit.USAGE
        except typer.TyperException as error:
            console.note(_line(error))
            code = error.exit_code
        except OSError as error:  # of --help and --version; commands are guarded
            console.note(f"cannot write to stdout: {error.strerror}")
            console.discard(sys.stdout)
            code = Exit.FAILED
        if standalone_mode:
            sys.exit(code)
        return code


def _line(error: typer.TyperException) -> str:
    text = error.format_message().rstrip(".")
    if isinstance(error, UsageError) and error.ctx:
        text += f"; see `{error.ctx.command_path} -h`"
    return text

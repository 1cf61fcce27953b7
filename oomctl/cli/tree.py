"""The command tree: each command is imported when it is asked for; a wrong one is one line."""

import sys
from collections import UserDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError
from typer.core import TyperGroup

from oomctl import commandline, console, lazy
from oomctl.cli.command import CACHE, ENVIRONMENT, Group, exit_codes
from oomctl.errors import Exit


class Entry(NamedTuple):
    """A command that is not imported yet: the first sentence of its help, and where it is.

    `place` is `module:name` below oomctl.cli; a group has `commands` instead.
    """

    summary: str
    place: str = ""
    commands: Mapping[str, "Entry"] = MappingProxyType({})


COMMANDS: Mapping[str, Entry] = {
    "declare": Entry(
        "Declare OOM on a cgroup; show the victims and the return value.", "declare:declare"
    ),
    "run": Entry("Run scenario files, once or many times; check expectations.", "run:run"),
    "report": Entry("Show saved results in any form, and in several at once.", "report:report"),
    "compare": Entry("Show what changed between two records.", "compare:compare"),
    "predict": Entry(
        "Show every task's badness and which would die; declare nothing.", "predict:predict"
    ),
    "explain": Entry("Explain every OOM kill in a saved kernel log.", "explain:explain"),
    "watch": Entry("Show every OOM kill on this machine as it happens.", "watch:watch"),
    "doctor": Entry(
        "Check whether `oomctl declare` can work here, and how to fix it.", "doctor:doctor"
    ),
    "clean": Entry("Undo what a killed oomctl left behind.", "clean:clean"),
    "smoke": Entry("Test this kernel's bpf_out_of_memory(), case by case.", "smoke:smoke"),
    "fleet": Entry("Run smoke, run, declare or doctor on many machines.", "fleet:fleet"),
    "fuzz": Entry("Run random experiments, and shrink what differs from the model.", "fuzz:fuzz"),
    "scenario": Entry(
        "Start, check and rebuild scenario files; print their schema.",
        commands={
            "new": Entry(
                "Print a commented scenario to start from; -o replaces no file.", "scenario:new"
            ),
            "from": Entry(
                "Print the scenario of an existing cgroup, at any scale.", "scenario:from_"
            ),
            "check": Entry(
                "Check scenario files against this machine; make nothing.", "scenario:check"
            ),
            "schema": Entry("Print the JSON schema of scenario files.", "scenario:schema"),
        },
    ),
    "examples": Entry("List, print or copy the scenarios that oomctl brings.", "examples:examples"),
    "kfunc": Entry(
        "Find, build, load and unload what provides bpf_out_of_memory().",
        commands={
            "status": Entry(
                "Show whether the running kernel has the kfunc, and its shape.", "kfunc:status"
            ),
            "build": Entry("Build the module and print its path.", "kfunc:build"),
            "load": Entry("Load the module; build it first if need be.", "kfunc:load"),
            "unload": Entry("Unload the module from the running kernel.", "kfunc:unload"),
        },
    ),
    "lab": Entry(
        "Run commands in a virtual machine that has bpf_out_of_memory().",
        commands={
            "run": Entry("Run a command as root in a virtual machine with the kfunc.", "lab:run"),
            "fetch": Entry("Fetch and prepare what the lab needs.", "labfetch:fetch"),
            "status": Entry(
                "Show what the lab would use, and the guests that are kept.", "labfetch:status"
            ),
            "smoke": Entry(
                "Run `oomctl smoke` in virtual machines, with the panics.", "labsmoke:smoke"
            ),
            "build": Entry("Build a small kernel for the lab.", "labbuild:build"),
            "kernels": Entry(
                "List the kernels in the cache, or remove some.", "labkernels:kernels"
            ),
            "shell": Entry(
                "Open a root shell in a virtual machine with the kfunc.", "labshell:shell"
            ),
            "start": Entry(
                "Start a virtual machine and keep it for many commands.", "labkept:start"
            ),
            "exec": Entry(
                "Run a command in a guest that `oomctl lab start` has started.", "labkept:execute"
            ),
            "stop": Entry("End a guest that `oomctl lab start` has started.", "labkept:stop"),
        },
    ),
}


VERBOSE = "oomctl.verbose"
"""The key of a context's meta for whether -v is among the words."""


class Commands(UserDict[str, Any]):
    """Typer's commands by name, each imported when it is asked for."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__(entries)
        self.summaries = {name: entry.summary for name, entry in entries.items()}

    def __getitem__(self, name: str) -> Any:
        """Return a command, imported if need be."""
        entry = self.data[name]
        if isinstance(entry, Entry):
            self.data[name] = _group(name, entry) if entry.commands else _command(name, entry)
        return self.data[name]


class LazyGroup(Group):
    """A group that lists its commands without importing them."""

    commands: Commands

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command's name and summary."""
        with formatter.section("Commands"):
            formatter.write_dl([*self.commands.summaries.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the commands and options that begin so."""
        from typer._click.shell_completion import CompletionItem

        begun = [each for each in self.commands.summaries.items() if each[0].startswith(incomplete)]
        options = super(TyperGroup, self).shell_complete(ctx, incomplete)
        return [*(CompletionItem(name, help=summary) for name, summary in begun), *options]


def _command(name: str, entry: Entry) -> Any:
    command = lazy.load(f"cli.{entry.place}")
    command.name = name
    return command


def _group(name: str, entry: Entry) -> LazyGroup:
    group = LazyGroup(
        name=name,
        help=entry.summary,
        epilog=exit_codes(),
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.commands = Commands(entry.commands)
    group.environment = () if name == "scenario" else (CACHE,)
    return group


class Root(LazyGroup):
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
        see = " See" if text.endswith("?") else "; see"
        text += f"{see} `{error.ctx.command_path} -h`"
    return text

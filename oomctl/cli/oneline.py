"""The command tree's root: says a wrong option in one line, as every other error is said."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError
from typer.core import TyperGroup

from oomctl import commandline, console
from oomctl.cli.commands import Commands
from oomctl.errors import Exit


class OneLineGroup(TyperGroup):
    """Replaces typer's usage banner and pydantic's words for a wrong value."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()

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
    text = error.format_message().replace("Value error, ", "").rstrip(".")
    if isinstance(error, UsageError) and error.ctx:
        text += f"; see `{error.ctx.command_path} -h`"
    return text

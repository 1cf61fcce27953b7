"""The command tree."""

import os
import sys
from typing import Annotated

import typer

from oomctl import __version__
from oomctl.cli.oneline import OneLineGroup

app = typer.Typer(
    name="oomctl",
    cls=OneLineGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oomctl {__version__}")
        raise typer.Exit


@app.callback()
def oomctl(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Grow memory hogs in a cgroup, declare OOM on it, and tell what the kernel did.

    Exit codes: 0 as wanted; 1 not as wanted (nobody died, the wrong task died, the kernel
    refused); 2 usage; 3 this machine or kernel cannot, `oomctl doctor` says why; 4 oomctl
    failed or could not clean up; 130 Ctrl-C, after cleaning up.
    """


def main() -> None:
    """Run the command line."""
    _fill_closed()
    app()


def _fill_closed() -> None:
    """Open what `<&-`, `>&-` or `2>&-` closed, lest the next file opened takes its number.

    sys.stdout stays None then: a result with nowhere to go is an error, see output.py.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stderr = sys.stderr or os.fdopen(2, "w")

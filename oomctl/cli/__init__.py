"""The `oomctl` command: options become plans, errors become exit codes; no I/O of its own."""

from oomctl.cli.app import app, main

__all__ = ["app", "main"]

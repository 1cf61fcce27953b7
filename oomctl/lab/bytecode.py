"""Compiles oomctl's modules beforehand: what a guest compiles is lost with its overlay."""

import compileall
import sys
from pathlib import Path

import oomctl


def prepare() -> None:
    """Write the bytecode that is missing or old, unless Python is told to write none.

    An emulated guest would need longer to compile the modules of a command than to run them.
    """
    if not sys.dont_write_bytecode:
        compileall.compile_dir(Path(oomctl.__file__).parent, quiet=2)

"""Packs oomctl, what it needs and a command into one file that a host's Python runs."""

import json
import platform
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import oomctl

_MAIN = """import sys
if sys.version_info < (3, 11):
    sys.exit('{"error": "its Python is %d.%d, oomctl needs 3.11; set ansible_python_interpreter"}'
             % sys.version_info[:2])
from oomctl.fleet.agent import main
main()
"""
_LEFT_OUT = {"rich"}
"""typer draws with it if it is there; with what it needs it is as large as all the rest."""


def pack(archive: Path, words: Sequence[str], files: Sequence[Path]) -> None:
    """Write the archive; `files` among the words are packed too, and named as they are there."""
    places = {str(file): f"files/{number}/{file.name}" for number, file in enumerate(files)}
    job = {
        "words": [places.get(word, word) for word in words],
        "machine": platform.machine(),
        # pydantic-core is compiled for one version of Python; only scenario files need it
        "python": platform.python_version().rpartition(".")[0] if words[0] == "run" else "",
    }
    package = Path(oomctl.__file__).parent
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("__main__.py", _MAIN)
        packed.writestr("job.json", json.dumps(job))
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                packed.write(path, path.relative_to(package.parent))
        for name in sorted(_needed("oomctl") - {"oomctl"}):
            with suppress(metadata.PackageNotFoundError):
                for part in metadata.files(name) or ():
                    if part.suffix != ".pyc" and ".." not in part.parts:
                        packed.write(str(part.locate()), part)
        for file in files:
            packed.write(file, places[str(file)])


def _needed(name: str) -> set[str]:
    """Return the names of a distribution and of all that it requires, as far as installed."""
    found, left = set[str](), {name}
    while left:
        found.add(each := left.pop())
        with suppress(metadata.PackageNotFoundError):  # for another system
            for requirement in metadata.requires(each) or ():
                if "extra ==" not in requirement:
                    one = re.split(r"[^A-Za-z0-9_.-]", requirement)[0]
                    left |= {one} - found - _LEFT_OUT
    return found

"""The newest results, kept in the cache, so that `oomctl report --last` can show them again."""

import gzip
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from oomctl import cache, console
from oomctl.errors import OomctlError, UsageError

if TYPE_CHECKING:
    from oomctl.cli.forms import Given

MOST = 20
"""Results that are kept; of a newer one the oldest goes."""
LARGEST = 16 << 20
"""Bytes that a kept result takes; a larger one is compressed."""
_FOLDER = ("results",)


def keep(command: str, text: Callable[[], str]) -> None:
    """Keep a result as JSON, or as JSON lines; a cache that cannot hold it is only told with -v."""
    try:
        result, end = text().encode(errors="backslashreplace"), "json"
        if len(result) > LARGEST:
            result, end = gzip.compress(result, 1), "json.gz"
        if len(result) > LARGEST:
            console.note(
                f"not kept for `oomctl report --last`: the result of {command} is too large"
            )
            return
        folder = cache.folder(*_FOLDER)
        path = folder / f"{time.time_ns()}-{os.getpid()}-{command}.{end}"
        with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
            file.write(result)
        for old in _kept()[:-MOST]:
            old.unlink(missing_ok=True)
    except (OSError, OomctlError) as error:
        console.detail(f"the result of {command} is not kept: {error}")


def newest() -> Path:
    """Return the file of the newest result; UsageError if there is none."""
    with suppress(IndexError):
        return _kept()[-1]
    raise UsageError("no result is kept yet", "name a FILE, or run `oomctl declare` first")


def _kept() -> list[Path]:
    found = cache.place(*_FOLDER).iterdir() if cache.place(*_FOLDER).is_dir() else ()
    return sorted(path for path in found if path.name.endswith((".json", ".json.gz")))


def next_step(given: "Given") -> None:
    """Say how to look at the result that was kept, if it was shown as a table."""
    if given is None:
        console.next_step("see it as a page: oomctl report --last -f html=page.html")

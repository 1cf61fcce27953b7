"""What the shell offers for a word that is begun; typer keeps those that go on as the word does."""

import re
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import get_args

Offers = list[str | tuple[str, str]]
"""Words, some with what they mean."""

BOOT = Path("/boot")
_KIND = r"hog\.[^.=]+\.kind="


def cases(incomplete: str) -> Offers:
    """Offer the groups and cases of the suite, with what they ask."""
    from oomctl.smoke import suite

    return [*suite.GROUPS.items(), *((case.name, case.about) for case in suite.cases())]


def triggers(incomplete: str) -> Offers:
    """Offer the triggers of a call, behind those that stand there already."""
    from oomctl.oom.enums import Via

    return _after_comma(incomplete, [*Via])


def overrides(incomplete: str) -> Offers:
    """Offer the kinds of a hog for `hog.NAME.kind=`."""
    from oomctl.oom.plan import HogKind

    key = re.match(_KIND, incomplete)
    return [] if key is None else _after_comma(incomplete, get_args(HogKind), key.group())


def kernels(incomplete: str) -> Offers:
    """Offer the kernels by name, those in the cache, and the images of this machine's kernels."""
    here = sorted(map(str, BOOT.glob("vmlinu[xz]-*")))
    names = {
        "stock": "Debian's newest that works here",
        "reference": "the newest of oomctl lab build",
    }
    return [*names.items(), *_cached("kernels"), *here]


def cached_kernels(incomplete: str) -> Offers:
    """Offer the kernels in the cache, and the objects of builds."""
    return [*_cached("kernels"), *_cached("builds")]


def _cached(folder: str) -> list[str]:
    from oomctl import cache

    return sorted(path.name for path in cache.place(folder).glob("*/"))


def examples(incomplete: str) -> Offers:
    """Offer the names of the scenarios that oomctl brings."""
    from oomctl import resources

    return [path.stem for path in resources.examples() if path.suffix == ".toml"]


def scenarios(incomplete: str) -> Offers:
    """Offer scenario files, here and in the folders below."""
    return _files(incomplete, ".toml")


def records(incomplete: str) -> Offers:
    """Offer records of `oomctl run`, here and in the folders below."""
    return _files(incomplete, ".jsonl")


def logs(incomplete: str) -> Offers:
    """Offer saved logs, here and in the folders below."""
    return [*_files(incomplete, ".log"), *_files(incomplete, ".txt")]


def _files(incomplete: str, ending: str) -> Offers:
    folder, slash, begin = incomplete.rpartition("/")
    base = Path(f"{folder}{slash}")
    patterns = f"{escape(begin)}*{ending}", f"{escape(begin)}*/*{ending}"
    found = [path for pattern in patterns for path in base.glob(pattern)]
    return sorted({f"{folder}{slash}{path.relative_to(base)}" for path in found})


def _after_comma(incomplete: str, names: Sequence[str], begin: str = "") -> Offers:
    head = incomplete.rpartition(",")[0]
    return [f"{head},{name}" if head else f"{begin}{name}" for name in names]

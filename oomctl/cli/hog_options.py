"""The hogs of `oomctl declare` from --hog, --hogs and --size. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace

from oomctl.errors import UsageError
from oomctl.oom.plan import Hog
from oomctl.scenario.fault import FieldError
from oomctl.scenario.names import hog_name
from oomctl.units import parse_size

DEFAULT_HOGS = ("small=16M", "medium=32M", "large=64M")


def parse_hog(text: str) -> Hog:
    """Parse `[NAME=]SIZE[,adj=N]`; UsageError with what to write."""
    head, *rest = text.split(",")
    name, _, size = head.rpartition("=")
    try:
        hog = Hog(hog_name(name) if "=" in head else "", parse_size(size))
    except FieldError as error:
        raise UsageError(f"--hog {text!r}: {error.what}", error.hint) from None
    except ValueError as error:
        raise UsageError(f"--hog {text!r}: {error}") from None
    for part in rest:
        key, _, value = part.partition("=")
        if key != "adj" or not re.fullmatch(r"[+-]?[0-9]{1,4}", value, re.ASCII):
            raise UsageError(f"--hog {text!r}: {part!r} is not adj=N", "write [NAME=]SIZE[,adj=N]")
        adj = int(value)
        if not -1000 <= adj <= 1000:
            raise UsageError(
                f"--hog {text!r}: adj {adj} is out of range", "it goes from -1000 to 1000"
            )
        hog = replace(hog, oom_score_adj=adj)
    if len(rest) > 1:
        raise UsageError(f"--hog {text!r}: adj is given twice", "write [NAME=]SIZE[,adj=N]")
    return hog


def plan_hogs(given: Sequence[Hog], count: int | None, size: int | None) -> tuple[Hog, ...]:
    """Combine `--hog` with `--hogs N --size SIZE`, and give every hog a name of its own."""
    if count is None and size is not None:
        raise UsageError("--size needs --hogs N", "say how many hogs of that size")
    if count is None and not given:
        return tuple(parse_hog(text) for text in DEFAULT_HOGS)
    hogs = list(given)
    if count:
        if size is None:
            size = parse_size("32M")
        hogs += [Hog("", size)] * count
    named = tuple(
        replace(hog, name=hog.name or f"hog-{number}") for number, hog in enumerate(hogs, 1)
    )
    seen: set[str] = set()
    for hog in named:
        if hog.name in seen:
            raise UsageError(f"two hogs are named '{hog.name}'", "give each a name of its own")
        seen.add(hog.name)
    return named

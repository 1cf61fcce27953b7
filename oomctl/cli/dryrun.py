"""What `--dry-run` prints: the plans as text, or as JSON."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from oomctl.cli.forms import Places, Target
from oomctl.describe.plan_text import INDENT, describe
from oomctl.errors import UsageError
from oomctl.oom.plan import Plan
from oomctl.text import printable
from oomctl.units import Duration

Named = tuple[str, str, Plan]
"""A scenario's name, the label of a variant, and its plan."""


def check_forms(found: Iterable[Target]) -> None:
    """Raise UsageError if a plan has no such form."""
    for target in found:
        if target.form not in ("table", "json"):
            raise UsageError(
                f"--dry-run prints a plan, which --format {target.form} cannot show",
                "leave out --format, or use --format json",
            )


def write(places: Places, plans: Sequence[Named], more: Sequence[str] = ()) -> None:
    """Write the plans in each form."""
    for form, place in places:
        place.write(render(plans, form, place.width, more))


def render(plans: Sequence[Named], form: str, width: int | None, more: Sequence[str] = ()) -> str:
    """Return every plan, each with a heading if there are several, and `more` lines after them.

    `width` are the columns of the terminal, None for a file.
    """
    if form == "json":
        import json

        from oomctl.oom import as_json

        shown = [
            {"scenario": name, "variant": variant, **as_json.plan(plan)}
            for name, variant, plan in plans
        ]
        return json.dumps({"schema": as_json.SCHEMA, "plans": shown}, indent=2) + "\n"
    texts = []
    for name, variant, plan in plans:
        title = f"{name}: {variant}" if variant else name
        lines = [f"== {title}", ""] if len(plans) > 1 else []
        limit = "" if plan.timeout == Plan.timeout else f"limit   {Duration(plan.timeout)} each"
        texts.append([*lines, *describe(plan), *filter(None, [limit])])
    texts[-1] += more
    return "\n".join("".join(f"{line}\n" for line in _fitted(text, width)) for text in texts)


def _fitted(lines: Iterable[str], width: int | None) -> Iterator[str]:
    """Yield each line, on a terminal continued below its text."""
    for line in map(printable, lines):
        if width and len(line) > width:
            yield from textwrap.wrap(line, width, subsequent_indent=INDENT, break_on_hyphens=False)
        else:
            yield line

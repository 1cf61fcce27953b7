"""What would turn the choice of the OOM killer, in words."""

from collections.abc import Mapping

from oomctl.oom.as_text import task_name
from oomctl.oom.enums import FlipKind
from oomctl.oom.flip import Flip

_MOST_NAMES = 3


def flip_text(flip: Flip, comms: Mapping[int, str], page_size: int) -> str:
    """Say at which value another task would die, such as "rss of a 8M (2,048 pages) or less ...".

    `comms` are the names of the tasks by PID.
    """
    of_task = "" if flip.pid is None else f" of {task_name(comms.get(flip.pid, '?'), flip.pid)}"
    if flip.after is None:
        return f"no {flip.kind}{of_task}"
    after = _value(flip.kind, flip.after, page_size)
    if flip.until is not None:
        span = f"{after} {'up' if flip.upwards else 'down'} to {_exact(flip.until)}"
    else:
        span = f"{after} or {'more' if flip.upwards else 'less'}"
    now = _now(flip)
    return f"{flip.kind}{of_task} {span} (now {now}): {_dying(flip, comms)} would die"


def _now(flip: Flip) -> str:
    if flip.before is None:
        return "max"
    return str(flip.before) if flip.kind is FlipKind.ADJ else _exact(flip.before)


def _value(kind: FlipKind, value: int, page_size: int) -> str:
    if kind is FlipKind.ADJ:
        return str(value)
    pages = value // page_size
    return f"{_exact(value)} ({pages:,} {'page' if pages == 1 else 'pages'})"


def _exact(size: int) -> str:
    """Write a size so that it can be written into memory.max: 32776K, 64M."""
    for suffix, unit in (("M", 1 << 20), ("K", 1 << 10)):
        if size and size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)


def _dying(flip: Flip, comms: Mapping[int, str]) -> str:
    if flip.chosen is None:
        return "no task"
    others = len(flip.victims) - 1
    if others < _MOST_NAMES:
        names = dict.fromkeys([flip.chosen, *flip.victims])
        return ", ".join(task_name(comms.get(pid, "?"), pid) for pid in names)
    return f"{task_name(comms.get(flip.chosen, '?'), flip.chosen)} and {others} more"

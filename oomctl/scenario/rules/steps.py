"""Faults of [[step]]: nothing to do, unknown hogs, cgroups, calls, two starts of a hog. Pure."""

from collections.abc import Iterator

from oomctl.scenario.fault import Fault, Path, instead
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import Step, key_of
from oomctl.scenario.names import TOP
from oomctl.text import counted

DOES = (
    *("cgroup", "sysctl", "sysfs", "freeze", "thaw", "move", "remove"),
    *("stop", "is_continue", "kill", "start"),
)
"""The fields of a step that do something."""
KEYS = tuple(map(key_of, DOES))


def step_faults(layout: Layout) -> Iterator[Fault]:
    """Yield what is wrong with each step."""
    started: set[str] = set()
    for index, step in enumerate(layout.file.step):
        path: Path = ("step", index)
        if all(getattr(step, name) is None for name in DOES):
            hint = f"give it one of {', '.join(KEYS)}"
            yield Fault(path, "it does nothing", hint, tuple((*path, key) for key in KEYS))
        yield from _after(layout, path, step)
        for key, cgroup in _cgroups(step):
            if cgroup not in layout.cgroups:
                what = f"there is no cgroup '{cgroup}' in this scenario"
                rests_on: tuple[Path, ...] = (("cgroup", cgroup), ("hog", cgroup))
                yield Fault((*path, *key), what, instead(cgroup, layout.cgroups), rests_on)
            elif key[0] == "move" and cgroup in layout.inner:
                what = (
                    f"'{cgroup}' has child cgroups, and the kernel allows processes in leaves only"
                )
                yield Fault((*path, *key), what, "name a leaf")
            elif key[0] == "remove" and cgroup == TOP:
                what = "the top cannot be removed during the run"
                yield Fault((*path, *key), what, "name a cgroup below it")
        for key, name in _hogs(step):
            if not layout.named(name) and name not in layout.file.hog:
                yield _no_hog(layout, (*path, *key), name)
            elif key == ("start",) and not started.isdisjoint(layout.named(name)):
                yield Fault((*path, *key), f"'{name}' is started twice", "start it in one step")
            started.update(layout.named(name) if key == ("start",) else ())


def _after(layout: Layout, path: Path, step: Step) -> Iterator[Fault]:
    calls = len(layout.file.calls)
    if step.after.call >= max(calls, 1):
        what = f"there is no call[{step.after.call}]"
        hint = f"the scenario has {counted(calls, 'call')}, the first is call[0]"
        yield Fault((*path, "after"), what, hint, (("call",),))
    for name in step.after.hogs:
        if not layout.named(name) and name not in layout.file.hog:
            yield _no_hog(layout, (*path, "after"), name)


def _no_hog(layout: Layout, path: Path, name: str) -> Fault:
    known = list(layout.file.hog)
    hint = instead(name, known, none="it has no hogs")
    return Fault(path, f"there is no hog '{name}' in this scenario", hint, (("hog", name),))


def _cgroups(step: Step) -> Iterator[tuple[Path, str]]:
    """Yield the cgroups that a step names, each after its key."""
    for cgroup in step.cgroup or ():
        yield ("cgroup", cgroup), cgroup
    for key in ("freeze", "thaw", "remove"):
        yield from (((key,), cgroup) for cgroup in getattr(step, key) or ())
    yield from ((("move", hog), cgroup) for hog, cgroup in (step.move or {}).items())


def _hogs(step: Step) -> Iterator[tuple[Path, str]]:
    """Yield the hogs that a step names, each after its key."""
    for name in ("move", "stop", "is_continue", "kill", "start"):
        yield from (((key_of(name),), hog) for hog in getattr(step, name) or ())

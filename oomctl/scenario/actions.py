"""The actions that the steps of a scenario become, in the order of each step's keys. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from oomctl.oom.enums import Do
from oomctl.oom.plan import Action, After

if TYPE_CHECKING:
    from oomctl.scenario.layout import Layout
    from oomctl.scenario.model import Step

FREEZE = "cgroup.freeze"


def actions(layout: "Layout") -> Iterator[Action]:
    """Yield every action of a scenario; a hog's entry stands for all of its hogs."""
    for index, step in enumerate(layout.file.step):
        hogs = tuple(name for entry in step.after.hogs for name in layout.named(entry))
        after = replace(step.after, hogs=hogs, delay=step.after.delay + step.delay)
        for action in (*_on_cgroups(layout, step), *_on_hogs(layout, step)):
            yield replace(action, step=index, after=after, may_fail=step.may_fail)


def _on_cgroups(layout: "Layout", step: "Step") -> Iterator[Action]:
    for cgroup, table in (step.cgroup or {}).items():
        for file, value in table.files():
            text = int(value) if isinstance(value, bool) else layout.setting(cgroup, file, value)
            yield _action(Do.WRITE, cgroup=cgroup, file=file, value=str(text))
    for name, value in (step.sysctl or {}).items():
        yield _action(Do.SYSCTL, file=name, value=value)
    for path, value in (step.sysfs or {}).items():
        yield _action(Do.SYSFS, file=path, value=value)
    for cgroups, value in ((step.freeze, "1"), (step.thaw, "0")):
        for cgroup in cgroups or ():
            yield _action(Do.WRITE, cgroup=cgroup, file=FREEZE, value=value)


def _on_hogs(layout: "Layout", step: "Step") -> Iterator[Action]:
    for entry, cgroup in (step.move or {}).items():
        for hog in layout.named(entry):
            yield _action(Do.MOVE, hog=hog, cgroup=cgroup)
    for cgroup in step.remove or ():
        yield _action(Do.REMOVE, cgroup=cgroup)
    for do, entries in (
        (Do.STOP, step.stop),
        (Do.CONTINUE, step.is_continue),
        (Do.KILL, step.kill),
        (Do.START, step.start),
    ):
        for entry in entries or ():
            for hog in layout.named(entry):
                yield _action(do, hog=hog)


def _action(do: Do, *, cgroup: str = "", hog: str = "", file: str = "", value: str = "") -> Action:
    return Action(0, After(), do, cgroup, hog, file, value)

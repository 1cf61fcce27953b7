"""Calls that cannot be: keys against each other, unknown cgroups. Pure."""

from collections.abc import Iterator

from oomctl.errors import UsageError
from oomctl.oom import plan
from oomctl.oom.safety import check_sysctls
from oomctl.oom.task import OOM_SCORE_ADJ_MIN
from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import Call
from oomctl.scenario.names import TOP
from oomctl.scenario.words import Path, instead

NEED_A_CGROUP = ("limit", "reclaim", "kill")
HAVE_AN_AMOUNT = ("limit", "reclaim")
DECLARE = ("bpf", "reclaim")
OF_A_DECLARATION = ("order", "wait", "flags")
_FOR_THE_KFUNC = "it is for via = 'bpf' and 'reclaim'"


def call_faults(layout: Layout) -> Iterator[Fault]:
    """Yield what is wrong with each step."""
    for index, call in enumerate(layout.file.calls):
        path: Path = ("call", index)
        yield from _target_faults(layout, path, call)
        yield from _clashes(path, call)


def sysctl_faults(layout: Layout) -> Iterator[Fault]:
    """Yield the sysctls of the scenario with which one of its calls would panic the machine."""
    for name, value in layout.file.sysctl.items():
        for index, call in enumerate(layout.file.calls):
            asked = plan.Call(None if call.is_global else TOP, via=call.via)
            try:
                check_sysctls(asked, {}, OOM_SCORE_ADJ_MIN, [plan.Sysctl(name, value)])
            except UsageError as error:
                rests_on: Path = ("call", index)
                path = ("sysctl", *name.split("."))
                yield Fault(path, error.why, error.hint, rests_on=(rests_on,))
                break


def _target_faults(layout: Layout, path: Path, call: Call) -> Iterator[Fault]:
    target, key = call.target, (*path, "target")
    if target is None or target in layout.cgroups:
        return
    if not target.startswith("/"):
        yield Fault(
            key,
            f"there is no cgroup '{target}' in this scenario",
            instead(target, layout.cgroups),
            rests_on=(("cgroup", target), ("hog", target)),
        )


def _clashes(path: Path, call: Call) -> Iterator[Fault]:
    """Yield pairs of keys that exclude each other, and keys that another one needs."""

    def clash(key: str, what: str, hint: str, *others: str) -> Fault:
        return Fault((*path, key), what, hint, rests_on=tuple((*path, each) for each in others))

    if call.is_global and call.target is not None:
        yield clash("target", "target and global exclude each other", "give one", "global")
    if call.wait is not None and call.flags is not None:
        yield clash("flags", "wait and flags exclude each other", "give one of them", "wait")
    if call.is_global and call.via in NEED_A_CGROUP:
        yield clash("via", f"'{call.via}' needs a cgroup", "name a target, not global", "global")
    if call.via == "sysrq" and not call.is_global:
        yield clash("via", "'sysrq' takes any task of the machine", "write global = true", "global")
    if call.amount is not None and call.via not in HAVE_AN_AMOUNT:
        yield clash(
            "amount", f"'{call.via}' frees what it frees", "it is for limit and reclaim", "via"
        )
    if call.via not in DECLARE:
        for key in OF_A_DECLARATION:
            if key in call.model_fields_set:
                yield clash(key, f"'{call.via}' has no such argument", _FOR_THE_KFUNC, "via")
    if call.recheck is not None:
        if call.via != "bpf":
            yield clash("recheck", f"'{call.via}' does not wait", "it is for via = 'bpf'", "via")
        if call.wait or call.flags is not None:
            key = "wait" if call.wait else "flags"
            yield clash("recheck", f"recheck and {key} exclude each other", "give one", key)
        if call.is_global:
            yield clash(
                "recheck", "the whole system has no usage to look at", "name a target", "global"
            )

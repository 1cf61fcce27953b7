"""Calls and expectations that cannot be: keys against each other, unknown names. Pure."""

from collections.abc import Iterator

from oomctl import plan
from oomctl.errors import UsageError
from oomctl.interlock import check_sysctls
from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import Call
from oomctl.scenario.names import TOP
from oomctl.scenario.words import Path, instead
from oomctl.task import OOM_SCORE_ADJ_MIN

_NEED_A_CGROUP = ("limit", "reclaim", "kill")
_HAVE_AN_AMOUNT = ("limit", "reclaim")
_DECLARE = ("bpf", "reclaim")
_OF_A_DECLARATION = ("order", "wait", "flags")
_FOR_THE_KFUNC = "it is for via = 'bpf' and 'reclaim'"


def call_faults(layout: Layout) -> Iterator[Fault]:
    """Yield what is wrong with each step."""
    if layout.file.call == ():
        yield Fault(("call",), "has no step", "leave it out for one call on the top")
    for index, call in enumerate(layout.file.calls):
        path: Path = ("call", index)
        yield from _target_faults(layout, path, call)
        yield from _clashes(path, call)
        if call.expect.victims is not None:
            yield from _unknown_hogs(layout, (*path, "expect", "victims"), call.expect.victims)


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
    if call.is_global and call.via in _NEED_A_CGROUP:
        yield clash("via", f"'{call.via}' needs a cgroup", "name a target, not global", "global")
    if call.via == "sysrq" and not call.is_global:
        yield clash("via", "'sysrq' takes any task of the machine", "write global = true", "global")
    if call.amount is not None and call.via not in _HAVE_AN_AMOUNT:
        yield clash(
            "amount", f"'{call.via}' frees what it frees", "it is for limit and reclaim", "via"
        )
    if call.via not in _DECLARE:
        for key in _OF_A_DECLARATION:
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


def expect_faults(layout: Layout) -> Iterator[Fault]:
    """Yield expectations about hogs that are not there, or that contradict each other."""
    expect = layout.file.expect
    if expect is None:
        return
    yield from _unknown_hogs(layout, ("expect", "victims"), expect.victims or ())
    yield from _unknown_hogs(layout, ("expect", "survivors"), expect.survivors)
    for name in expect.survivors:
        if name in (expect.victims or ()):
            yield Fault(("expect", "survivors"), f"'{name}' is a victim as well", "decide")


def _unknown_hogs(layout: Layout, path: Path, names: tuple[str, ...]) -> Iterator[Fault]:
    known = dict.fromkeys([*layout.file.hog, *(member.name for member in layout.members)])
    for name in names:
        if name not in known:
            yield Fault(
                path,
                f"there is no hog '{name}' in this scenario",
                instead(name, list(known), none="it has no hogs"),
                rests_on=(("hog", name),),
            )

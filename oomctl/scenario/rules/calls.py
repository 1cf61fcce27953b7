"""Faults of [[call]] and [sysctl]: keys against each other, unknown cgroups. Pure."""

from collections.abc import Iterator, Mapping

from oomctl.errors import UsageError
from oomctl.oom import plan
from oomctl.oom.enums import KFUNC_VIAS, Via
from oomctl.oom.safety import check_sysctls
from oomctl.oom.task import OOM_SCORE_ADJ_MIN
from oomctl.scenario.fault import Fault, Path, instead
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import Call
from oomctl.scenario.names import TOP

NEED_A_CGROUP = (Via.LIMIT, Via.RECLAIM, Via.KILL, Via.PSI)
HAVE_AN_AMOUNT = (Via.LIMIT, Via.RECLAIM)
OF_A_DECLARATION = ("order", "wait", "flags", "context")


def call_faults(layout: Layout) -> Iterator[Fault]:
    """Yield what is wrong with each step."""
    for index, call in enumerate(layout.file.calls):
        path: Path = ("call", index)
        target = call.target
        if target is not None and not target.startswith("/") and target not in layout.cgroups:
            yield Fault(
                (*path, "target"),
                f"there is no cgroup '{target}' in this scenario",
                instead(target, layout.cgroups),
                rests_on=(("cgroup", target), ("hog", target)),
            )
        for key, what, hint, *others in _clashes(call):
            yield Fault((*path, key), what, hint, tuple((*path, each) for each in others))


def sysctl_faults(layout: Layout) -> Iterator[Fault]:
    """Yield the sysctls of the scenario with which one of its calls would panic the machine."""
    of_steps = [
        (("step", index, "sysctl"), step.sysctl or {})
        for index, step in enumerate(layout.file.step)
    ]
    for table, sysctls in ((("sysctl",), layout.file.sysctl), *of_steps):
        yield from _panicking(layout, table, sysctls)


def _panicking(layout: Layout, table: Path, sysctls: Mapping[str, str]) -> Iterator[Fault]:
    for name, value in sysctls.items():
        for index, call in enumerate(layout.file.calls):
            planned = plan.Call(None if call.is_global else TOP, via=call.via)
            try:
                check_sysctls(planned, {}, OOM_SCORE_ADJ_MIN, [plan.Sysctl(name, value)])
            except UsageError as error:
                rests_on: Path = ("call", index)
                path = (*table, *name.split("."))
                yield Fault(path, error.why, error.hint, rests_on=(rests_on,))
                break


def _clashes(call: Call) -> Iterator[tuple[str, ...]]:
    """Yield keys that exclude each other or need another: key, what, hint, the other keys."""
    if call.is_global and call.target is not None:
        yield "target", "target and global exclude each other", "give one of them", "global"
    if call.wait is not None and call.flags is not None:
        yield "flags", "wait and flags exclude each other", "give one of them", "wait"
    if call.is_global and call.via in NEED_A_CGROUP:
        yield "via", f"'{call.via}' needs a cgroup", "name a target instead of global", "global"
    if call.via == Via.SYSRQ and not call.is_global:
        yield "via", "'sysrq' may kill any task of the machine", "write global = true", "global"
    if call.amount is not None and call.via not in HAVE_AN_AMOUNT:
        what = f"'{call.via}' takes no amount"
        yield "amount", what, "leave it out, or write via = 'limit' or 'reclaim'", "via"
    for key in OF_A_DECLARATION if call.via not in KFUNC_VIAS else ():
        if getattr(call, key) is not None:
            what = f"'{call.via}' takes no {key}"
            yield key, what, "leave it out, or write via = 'bpf', 'reclaim' or 'psi'", "via"
    if call.stall is not None and call.via != Via.PSI:
        what = f"'{call.via}' waits for no stall"
        yield "stall", what, "leave it out, or write via = 'psi'", "via"
    elif call.stall is not None and not 0 < call.stall <= plan.PSI_WINDOW:
        yield "stall", f"{call.stall:g} s cannot be stalled of a second", "from 1us to 1s"
    if call.recheck is None:
        return
    if call.via != Via.BPF:
        what = f"'{call.via}' does not wait for oom_lock"
        yield "recheck", what, "leave it out, or write via = 'bpf'", "via"
    if call.wait or call.flags is not None:
        key = "wait" if call.wait else "flags"
        yield "recheck", f"recheck and {key} exclude each other", "give one of them", key
    if call.is_global:
        yield "recheck", "the whole system has no usage to check", "name a target", "global"

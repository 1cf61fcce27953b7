"""Return values, tasks, PIDs and targets as text, for every message and report. Pure."""

from collections.abc import Iterable

from oomctl.oom.enums import Context
from oomctl.oom.errnos import name_of
from oomctl.oom.plan import Call, flag_names


def returned(ret: int | None) -> str:
    """Write a return value as kernel developers do: `1`, `-EBUSY`; `none` without a return."""
    if ret is None:
        return "none"
    name = name_of(ret)
    return f"-{name}" if name else str(ret)


def task_name(comm: str, pid: int) -> str:
    """Name a task: `large (pid 303)`."""
    return f"{comm} (pid {pid})"


def pid_list(pids: Iterable[int]) -> str:
    """List PIDs in order: `pid 303`, `pids 303, 310`, or `no task`."""
    ordered = sorted(pids)
    numbers = ", ".join(map(str, ordered))
    return f"pid{'s' * (len(ordered) > 1)} {numbers}" if ordered else "no task"


def target_name(target: str | None, cgroup_id: int | None = None) -> str:
    """Name the target of a call, with the id of its cgroup if that is known."""
    if target is None:
        return "the whole system (NULL memcg)"
    return f"{target} (cgroup id {cgroup_id})" if cgroup_id is not None else target


def kfunc_text(call: Call, memcg: str) -> str:
    """Write the kfunc's call as C does, with the memcg under that name."""
    text = f"bpf_out_of_memory({memcg}, order={call.order}, flags={flag_names(call.flags)})"
    return f"{text} in task work" if call.context == Context.TASK_WORK else text

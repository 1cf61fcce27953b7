"""Which programs of bpf/observer.bpf.c must have run in a period, and which did not. Pure.

A program may be attached and never run: with kernel.ftrace_enabled=0 the kernel removes the calls
from its functions (kernel/trace/ftrace.c, ftrace_enable_sysctl()), and attaching still succeeds.
"""

from collections.abc import Collection, Mapping

from oomctl.errors import UnsupportedError

ON_FUNCTIONS = frozenset({"oom_begin", "oom_end", "process_exit", "missed_exit"})
"""Programs that ftrace calls (fentry, fexit); the others are on tracepoints."""

FTRACE_ENABLED = "kernel.ftrace_enabled"
"""If this sysctl is 0, none of those runs."""

_EXIT = frozenset({"process_exit", "missed_exit"})


def silent_programs(
    before: Mapping[str, int],
    after: Mapping[str, int],
    *,
    calls: int = 0,
    kills: int = 0,
    exits: int = 0,
) -> tuple[str, ...]:
    """Return the attached programs that ran less often in a period than they must have.

    `before` and `after` are `Observer.fired()` at its begin and end. Between them at least `calls`
    runs through out_of_memory() were completed (a kfunc that returns 0 or 1 has made one; one may
    kill many), the kernel log has `kills` records "Killed process", and `exits` processes ended.

    A task is marked as victim once, but the first victim of a group is killed twice (mm/oom_kill.c,
    oom_kill_process() and mark_oom_victim()). Either of two programs reports the end of a process,
    since the first may miss one: they are silent only together.
    """
    fired = {name: count - before.get(name, 0) for name, count in after.items()}
    least = {
        "oom_begin": max(calls, min(kills, 1)),
        "oom_end": calls,
        "sigkill": kills,
        "mark_victim": min(kills, 1),
        "mark_victim_pid": min(kills, 1),
    }
    if all(fired[name] < exits for name in _EXIT & fired.keys()):
        least |= dict.fromkeys(_EXIT, exits)
    return tuple(name for name, count in fired.items() if count < least.get(name, 0))


def ftrace_is_off(silent: Collection[str], ftrace_enabled: int | None) -> bool:
    """Return whether the sysctl (None if the kernel lacks it) is why some of these are silent."""
    return ftrace_enabled == 0 and not ON_FUNCTIONS.isdisjoint(silent)


def silence(silent: Collection[str], ftrace_enabled: int | None) -> UnsupportedError:
    """Return the error that names the silent programs, the cause if it is known, and the cure."""
    if ftrace_is_off(silent, ftrace_enabled):
        return ftrace_off(silent)
    return UnsupportedError(
        f"attached, but they do not run: the BPF programs {', '.join(silent)}",
        "see `dmesg` for messages of ftrace or livepatch; the kernel log still names the victims",
    )


def ftrace_off(programs: Collection[str]) -> UnsupportedError:
    """Return the error of programs on kernel functions while ftrace is off."""
    return UnsupportedError(
        f"{FTRACE_ENABLED} is 0, so BPF programs on kernel functions do not run: "
        + ", ".join(programs),
        "run `sysctl kernel.ftrace_enabled=1`",
    )

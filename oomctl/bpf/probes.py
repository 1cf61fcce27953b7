"""Which programs of bpf/observer.bpf.c must have fired in a period, and which did not. Pure.

A program may be attached and never fire: with kernel.ftrace_enabled = 0 the kernel takes the calls
out of its functions (kernel/trace/ftrace.c, ftrace_enable_sysctl()), and attaching still succeeds.
"""

from collections.abc import Collection, Mapping

from oomctl.errors import UnsupportedError

ON_FUNCTIONS = frozenset({"oom_begin", "oom_end", "process_exit", "missed_exit"})
"""Programs that ftrace calls (fentry, fexit); the others hang on tracepoints."""

FTRACE_ENABLED = "kernel.ftrace_enabled"
"""The sysctl without which none of those runs."""

_EXIT = frozenset({"process_exit", "missed_exit"})


def silent_programs(
    before: Mapping[str, int],
    after: Mapping[str, int],
    *,
    calls: int = 0,
    kills: int = 0,
    exits: int = 0,
) -> tuple[str, ...]:
    """Name the attached programs that fired less often in a period than they must have.

    `before` and `after` are `Observer.fired()` at its begin and end. At least `calls` runs through
    out_of_memory() were completed between them (a kfunc that returned 0 or 1 has made one; one may
    kill many), the kernel log has `kills` records "Killed process", and `exits` processes ended.

    A task is marked as victim once, however often it is killed: the first victim of a group is
    killed twice (mm/oom_kill.c, oom_kill_process() and mark_oom_victim()). The end of a process is
    told by either of two programs: they are silent only together, since the first may miss one.
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
    """Tell whether that sysctl, None where the kernel lacks it, is why some of these are silent."""
    return ftrace_enabled == 0 and not ON_FUNCTIONS.isdisjoint(silent)


def silence(silent: Collection[str], ftrace_enabled: int | None) -> UnsupportedError:
    """Return the error that says which programs are silent, why if that is known, and the cure."""
    if ftrace_is_off(silent, ftrace_enabled):
        return ftrace_off(silent)
    return UnsupportedError(
        f"attached, but they do not run: the BPF programs {', '.join(silent)}",
        "look in `dmesg` for what ftrace or livepatch says; the kernel log still tells who died",
    )


def ftrace_off(programs: Collection[str]) -> UnsupportedError:
    """Return the error of these programs on kernel functions while ftrace is off."""
    return UnsupportedError(
        f"{FTRACE_ENABLED} is 0, so BPF programs on kernel functions do not run: "
        + ", ".join(programs),
        "run `sysctl kernel.ftrace_enabled=1`",
    )

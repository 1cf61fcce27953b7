"""Which programs of bpf/observer.bpf.c must have fired in a period, and which did not. Pure.

A program may be attached and never fire: with kernel.ftrace_enabled = 0 the kernel takes the calls
out of its functions (kernel/trace/ftrace.c, ftrace_enable_sysctl()) and tells nobody.
"""

from collections.abc import Collection, Mapping

from oomctl.errors import UnsupportedError

ON_FUNCTIONS = frozenset({"oom_begin", "oom_end", "process_exit", "missed_exit"})
"""Programs that ftrace calls (fentry, fexit); the others hang on tracepoints."""

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
    out_of_memory() were completed between them (a kfunc that returned 0 or 1 has made one), `kills`
    tasks were marked as OOM victims and sent SIGKILL for the first time, and `exits` processes
    ended. The end of a process is told by either of two programs: they are silent only together,
    since the first may miss one.
    """
    fired = {name: count - before.get(name, 0) for name, count in after.items()}
    least = {
        "oom_begin": calls,
        "oom_end": calls,
        "sigkill": kills,
        "mark_victim": kills,
        "mark_victim_pid": kills,
    }
    if all(fired[name] < exits for name in _EXIT & fired.keys()):
        least |= dict.fromkeys(_EXIT, exits)
    return tuple(name for name, count in fired.items() if count < least.get(name, 0))


def silence(silent: Collection[str], ftrace_enabled: int | None) -> UnsupportedError:
    """Return the error that says which programs are silent, why if that is known, and the cure.

    `ftrace_enabled` is that sysctl; None where the kernel has none.
    """
    names = ", ".join(silent)
    if ftrace_enabled == 0 and ON_FUNCTIONS & set(silent):
        return UnsupportedError(
            f"kernel.ftrace_enabled is 0, so BPF programs on kernel functions do not run ({names})",
            "run `sysctl kernel.ftrace_enabled=1`",
        )
    return UnsupportedError(
        f"BPF programs are attached but do not run: {names}",
        "look in `dmesg` for what ftrace or livepatch says; until then the kernel log tells",
    )

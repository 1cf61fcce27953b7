"""The verdict of a call, from its return value, its kills and the kernel log. Pure.

The return value is not enough: 1 does not prove that a task died, and 0 has two causes.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from oomctl.oom.as_text import returned
from oomctl.oom.call import CallResult
from oomctl.oom.enums import KFUNC_VIAS, VerdictName, Via
from oomctl.text import counted
from oomctl.units import format_size

_WANTED = frozenset(
    {
        VerdictName.KILLED,
        VerdictName.GROUP_KILLED,
        VerdictName.CGROUP_KILLED,
        VerdictName.SPARED,
        VerdictName.RECLAIMED,
    }
)


@dataclass(frozen=True)
class Verdict:
    """A name for programs, and a sentence for people."""

    name: VerdictName
    reason: str

    @property
    def as_wanted(self) -> bool:
        """Whether it killed a task, or no kill was needed."""
        return self.name in _WANTED


@dataclass(frozen=True)
class Circumstances:
    """What else is known of one call; names are texts such as "large (pid 7)".

    `in_flight` names victims of earlier OOMs that had not ended when this call began,
    `marked_only` those that were marked as victims but not sent SIGKILL because they were exiting
    already, `not_ended` those that were sent SIGKILL and had not ended when oomctl stopped waiting.
    `via` is the trigger. `expected` names the predicted victims if others died and
    rounding does not explain it. `counted` is the rise of the target's oom_kill.
    """

    system_wide: bool = False
    in_flight: Sequence[str] = ()
    marked_only: Sequence[str] = ()
    caller_marked: bool = False
    caller_killed: bool = False
    expected: Sequence[str] = ()
    not_ended: Sequence[str] = ()
    counted: int = 0
    via: Via = Via.BPF


def judge(
    result: CallResult,
    killed: Sequence[str],
    group_kills: int,
    no_killable: bool,
    circumstances: Circumstances | None = None,
) -> Verdict:
    """Judge one call.

    `killed` names the tasks that it sent SIGKILL, by the kernel's reports. `group_kills` is the
    number of groups that memory.oom.group killed, `no_killable` says that the kernel log had "no
    killable processes". Kernel: mm/oom_kill.c, out_of_memory().
    """
    seen = circumstances or Circumstances()
    if seen.caller_killed:
        return Verdict(
            VerdictName.CALLER_KILLED, "the OOM killer took the caller itself; its result is lost"
        )
    verdict = _judge(result, killed, group_kills, no_killable, seen)
    if not result.failed or result.failed in verdict.reason:
        return verdict
    return Verdict(verdict.name, f"{verdict.reason}; {result.failed}")


def _judge(
    result: CallResult,
    killed: Sequence[str],
    group_kills: int,
    no_killable: bool,
    seen: Circumstances,
) -> Verdict:
    if killed:
        names = ", ".join(killed)
        if seen.via == Via.KILL:
            return Verdict(VerdictName.CGROUP_KILLED, f"cgroup.kill ended {names}")
        if seen.expected:
            return Verdict(
                VerdictName.WRONG_VICTIM,
                f"the kernel killed {names}, but by oom_badness() it should have chosen "
                + ", ".join(seen.expected),
            )
        late = f"; {_who(seen.not_ended)} still dying at the timeout" if seen.not_ended else ""
        if group_kills and len(killed) > 1:
            return Verdict(VerdictName.GROUP_KILLED, f"the kernel killed the group: {names}{late}")
        if len(killed) > 1 and seen.via != Via.LIMIT:
            return Verdict(
                VerdictName.OVER_KILL, f"one declaration, several victims, and no group: {names}"
            )
        return Verdict(VerdictName.KILLED, f"the kernel killed {names}{late}")
    if seen.counted > 0 and result.ret == (0 if seen.via in ("limit", "sysrq") else 1):
        return Verdict(
            VerdictName.KILLED,
            f"oom_kill of the target rose by {seen.counted}, but neither BPF tracing nor the "
            "kernel log names the victim",
        )
    if result.spared:
        why = f"it was no longer needed after {_tries(result)}"
        return Verdict(
            VerdictName.SPARED,
            why if result.attempts else "the target used little enough from the start",
        )
    if result.reclaimed is not None and result.ret is None and not result.attempts:
        given = format_size(result.reclaimed)
        return Verdict(
            VerdictName.RECLAIMED, f"memory.reclaim gave back {given}, so no kill was needed"
        )
    if result.ret is None:
        why = "it did not return in time; the caller was killed" if result.timed_out else ""
        return Verdict(VerdictName.NO_ANSWER, result.failed or why or "no return")
    if seen.via not in KFUNC_VIAS:
        return _judge_write(result.ret, no_killable, seen.via)
    match result.ret:
        case 1:
            return Verdict(VerdictName.CLAIMED_BUT_NONE_DIED, _why_none_died(seen))
        case 0 if no_killable:
            return Verdict(
                VerdictName.NO_KILLABLE_TASK, "the target has no task that may be killed"
            )
        case 0:
            return Verdict(
                VerdictName.OOM_KILLER_DISABLED, "the OOM killer did not look for a victim at all"
            )
        case value if value == -errno.EINVAL:
            return Verdict(
                VerdictName.INVALID_ARGUMENT, "the kernel refused the order or the flags"
            )
        case value if value == -errno.EBUSY:
            return Verdict(VerdictName.BUSY, "oom_lock was held, and the call did not wait")
        case value if value == -errno.EINTR and result.timed_out:
            return Verdict(
                VerdictName.INTERRUPTED, "oom_lock was not free before --timeout ran out"
            )
        case value if value == -errno.EINTR:
            why = result.failed or "the caller was killed while it waited for oom_lock"
            return Verdict(VerdictName.INTERRUPTED, why)
        case value:
            return Verdict(
                VerdictName.UNEXPECTED_RETURN, f"the kfunc's contract has no return value {value}"
            )


def _judge_write(ret: int, no_killable: bool, via: Via) -> Verdict:
    if ret < 0:
        return Verdict(VerdictName.REFUSED, f"the kernel refused the write: {returned(ret)}")
    if no_killable:
        return Verdict(VerdictName.NO_KILLABLE_TASK, "the target has no task that may be killed")
    why = {
        Via.LIMIT: "reclaim alone brought the usage below the limit",
        Via.KILL: "the target has no task",
    }
    return Verdict(VerdictName.NONE_DIED, why.get(via, "no victim was seen"))


def _tries(result: CallResult) -> str:
    return counted(result.attempts, "try", "tries")


def _why_none_died(seen: Circumstances) -> str:
    """Say why the kfunc returned 1 without a kill (mm/oom_kill.c, out_of_memory)."""
    if seen.caller_marked:
        return "caller dying: the caller was marked as the victim, since it was dying already"
    if seen.marked_only:
        return f"victim already exiting: {_who(seen.marked_only)} marked, not killed"
    if seen.in_flight:
        return f"in-flight victim: {_who(seen.in_flight)} still dying from a call before"
    if seen.system_wide:
        return "an OOM notifier freed memory, or a victim from elsewhere was still dying"
    return "in-flight victim: one from elsewhere, or one that no source reported, was still dying"


def _who(tasks: Sequence[str]) -> str:
    return f"{', '.join(tasks)} {'was' if len(tasks) == 1 else 'were'}"


def overall(verdicts: Sequence[Verdict], killed: Sequence[str] = ()) -> Verdict:
    """Judge several calls: the first that was not as wanted, else the last.

    Without a call, `killed` names the tasks that the OOM killer took in the round.
    """
    if verdicts:
        return next((verdict for verdict in verdicts if not verdict.as_wanted), verdicts[-1])
    if killed:
        return Verdict(VerdictName.KILLED, f"without a call, the kernel killed {', '.join(killed)}")
    return Verdict(VerdictName.NONE_DIED, "no call was made, and no limit killed")


def meaning(result: CallResult, via: Via = Via.BPF) -> str:
    """Say what the return value alone means by the kfunc's contract."""
    if via in ("limit", "sysrq", "kill"):
        return "the kernel took the write" if result.ret == 0 else "the kernel refused the write"
    if result.reclaimed is not None and result.ret is None and result.ended_ns:
        return "not called: memory.reclaim was enough"
    if result.spared:
        return f"gave up after {_tries(result) or 'no call'}: the target uses little enough"
    match result.ret:
        case None:
            return "did not return"
        case 1:
            return "a victim was killed, is dying already, or memory was freed"
        case 0:
            return "no task could be killed, or the OOM killer is off"
        case value if value == -errno.EINVAL:
            return "order outside 0..MAX_PAGE_ORDER, or an unknown flag"
        case value if value == -errno.EBUSY:
            return "oom_lock is held, and the call does not wait"
        case value if value == -errno.EINTR:
            return "killed while waiting for oom_lock"
        case _:
            return "not in the kfunc's contract"

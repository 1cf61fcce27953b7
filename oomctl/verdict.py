"""One name for what a declaration did, from return value, dead and kernel log. Pure.

The return value alone misleads: 1 does not prove that somebody died, 0 has two causes.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from oomctl.answer import Answer

KILLED, GROUP_KILLED = "killed", "group-killed"


@dataclass(frozen=True)
class Verdict:
    """A stable name for machines and one sentence for people."""

    name: str
    reason: str

    @property
    def as_wanted(self) -> bool:
        """Whether the declaration killed somebody."""
        return self.name in (KILLED, GROUP_KILLED)


def judge(answer: Answer, killed: Sequence[str], group_kills: int, no_killable: bool) -> Verdict:
    """Judge one declaration.

    `killed` names the tasks that died of it, by wait status and the kernel's word; `group_kills` is
    the delta of oom_group_kill, `no_killable` whether the kernel log said that no task was
    eligible. Kernel: mm/oom_kill.c, out_of_memory().
    """
    if killed:
        names = ", ".join(killed)
        if group_kills and len(killed) > 1:
            return Verdict(GROUP_KILLED, f"the kernel killed the group: {names}")
        return Verdict(KILLED, f"the kernel killed {names}")
    if answer.ret is None:
        why = (
            "it did not return in time; the caller was killed" if answer.timed_out else "no return"
        )
        return Verdict("no-answer", why)
    match answer.ret:
        case 1:
            return Verdict(
                "claimed-but-none-died",
                "the kernel returned 1 but killed nobody: a victim is still dying, an OOM notifier "
                "freed memory, or the chosen task was exiting already",
            )
        case 0 if no_killable:
            return Verdict("no-killable-task", "the target has no task that may be killed")
        case 0:
            return Verdict("oom-killer-disabled", "the OOM killer did not look for a victim at all")
        case value if value == -errno.EINVAL:
            return Verdict("invalid-argument", "the kernel refused the order or the flags")
        case value if value == -errno.EBUSY:
            return Verdict("busy", "somebody else held oom_lock and waiting was not asked for")
        case value if value == -errno.EINTR and answer.timed_out:
            return Verdict("interrupted", "oom_lock was not to be had before --timeout ran out")
        case value if value == -errno.EINTR:
            return Verdict("interrupted", "the caller was killed while it waited for oom_lock")
        case value:
            return Verdict(
                "unexpected-return", f"the kfunc's contract knows no return value {value}"
            )


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Judge several declarations: the first that was not as wanted, else the last."""
    return next((verdict for verdict in verdicts if not verdict.as_wanted), verdicts[-1])


def meaning(answer: Answer) -> str:
    """Say what the return value means by the kfunc's contract, whatever else is known."""
    match answer.ret:
        case None:
            return "did not return"
        case 1:
            return "a victim was killed, is dying already, or memory was freed"
        case 0:
            return "nobody could be killed, or the OOM killer is off"
        case value if value == -errno.EINVAL:
            return "order outside 0..MAX_PAGE_ORDER, or an unknown flag"
        case value if value == -errno.EBUSY:
            return "oom_lock is held and waiting was not asked for"
        case value if value == -errno.EINTR:
            return "killed while waiting for oom_lock"
        case _:
            return "not in the kfunc's contract"

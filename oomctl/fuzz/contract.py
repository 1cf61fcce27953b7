"""What a call returns, and its verdict, by the contract of the kfunc (the series, v3). Pure."""

import errno
from collections.abc import Sequence

from oomctl.fuzz.turns import CallKills, Turn
from oomctl.oom.enums import VerdictName, Via
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call

MAX_ORDER = 10
"""MAX_PAGE_ORDER with pages of 4 KiB (include/linux/mmzone.h), the only ones that are fuzzed."""
_IDLE = {1: VerdictName.CLAIMED_BUT_NONE_DIED, -errno.EBUSY: VerdictName.BUSY}
"""The verdict of a caller that was not the first, by what was returned."""


def is_valid(call: Call) -> bool:
    """Tell whether the kfunc takes order and flags (kfunc's series, v3)."""
    return 0 <= call.order <= MAX_ORDER and call.flags in (0, WAIT_ON_OOM_LOCK)


def expected_return(call: Call, kills: bool) -> int:
    """Return what a call returns by the contract, if it kills or does not."""
    if not is_valid(call):
        return -errno.EINVAL
    return 0 if call.via in (Via.LIMIT, Via.KILL) else int(kills)


def turns(each: CallKills) -> Sequence[Turn]:
    """Return the choices of the OOM killer in a call, which are none if it is refused."""
    return each.turns or () if is_valid(each.call.call) else ()


def returns(each: CallKills) -> set[int | None]:
    """Return what a call may return: without a kill, another caller may have been first."""
    call = each.call.call
    if each.enough:
        return {None}
    found: set[int | None] = {expected_return(call, bool(each.killed))}
    if each.others and not each.killed and is_valid(call):
        found = {1} if each.prediction.victims else {0, 1}
        found |= {-errno.EBUSY} if call.flags != WAIT_ON_OOM_LOCK else set()
    return found


def verdicts(each: CallKills) -> set[VerdictName]:
    """Return the verdicts that a call may have."""
    if each.enough:
        return {VerdictName.RECLAIMED}
    if not is_valid(each.call.call):
        return {VerdictName.INVALID_ARGUMENT}
    if each.call.call.via == Via.KILL:
        return {VerdictName.CGROUP_KILLED if each.killed else VerdictName.NONE_DIED}
    if not each.turns or (each.refilled and not each.killed):
        none = {VerdictName.NO_KILLABLE_TASK}
        if each.others:
            ret = each.call.result.ret
            return {_IDLE[ret]} if ret in _IDLE else none
        return {VerdictName.NONE_DIED, *none} if each.again else none
    grouped = any(turn.group for turn in each.turns) and len(each.call.victims) > 1
    names = {VerdictName.GROUP_KILLED if grouped else VerdictName.KILLED}
    return names | {VerdictName.KILLED} if each.refilled else names

"""The results 0 and 1, and that oom_lock is free again after each of them."""

from oomctl.oom.plan import Step
from oomctl.smoke.cases.common import PAIR, case
from oomctl.smoke.spec import M, call, hog, spec

_TRY = call(flags=0)
"""A call that returns -EBUSY if the lock is still held."""
_BOTH = ("small", "large")

CASES = (
    case("returns.1-when-killed", "a call that kills returns 1", spec(PAIR[0], dies=("small",))),
    case(
        "returns.0-without-tasks", "a call on a cgroup without tasks returns 0", spec(returns="0")
    ),
    case(
        "returns.1-on-an-idle-target",
        "a target without limit and pressure is killed too: the kfunc does not ask for a need",
        spec(hog("idle", 4096), dies=("idle",)),
    ),
    case(
        "returns.lock-is-free-after-a-kill",
        "after a kill a second call without waiting is not -EBUSY",
        spec(*PAIR, dies=_BOTH, calls=(Step(_TRY, repeat=2),)),
    ),
    case(
        "returns.lock-is-free-after-0",
        "after a result of 0 a second call without waiting is not -EBUSY",
        spec(returns="0", calls=(Step(_TRY, repeat=2),)),
    ),
    case(
        "returns.lock-is-free-after-a-wait",
        "after a call with WAIT_ON_OOM_LOCK one without is not -EBUSY",
        spec(*PAIR, dies=_BOTH, calls=(call(flags=1), _TRY)),
    ),
    case(
        "returns.lock-is-free-after-a-wrong-order",
        "after a call with an invalid order one without waiting is not -EBUSY",
        spec(PAIR[0], dies=("small",), returns="", calls=(call(order=-1), _TRY)),
    ),
    case(
        "returns.one-kill-per-call",
        "three calls kill three victims, the largest first",
        spec(
            *PAIR, hog("larger", 12 * M), dies=(*_BOTH, "larger"), calls=(Step(call(), repeat=3),)
        ),
    ),
)

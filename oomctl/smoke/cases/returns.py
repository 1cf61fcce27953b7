"""The results 0 and 1, and that oom_lock is free again after every one of them."""

from oomctl.oom.plan import Step
from oomctl.smoke.cases.common import PAIR, M, call, case, hog, spec

_TRY = call(flags=0)
"""A call that would say -EBUSY if the lock were still held."""

CASES = (
    case("returns.1-when-killed", "1 after a kill", spec(PAIR[0], dies=("small",))),
    case("returns.0-when-nobody-is-there", "0 without a task", spec(returns="0")),
    case(
        "returns.1-on-an-idle-target",
        "no limit, no usage to speak of: it is not asked whether it is needed",
        spec(hog("idle", 4096), dies=("idle",)),
    ),
    case(
        "returns.lock-is-free-after-a-kill",
        "a second call without waiting gets in",
        spec(*PAIR, dies=("small", "large"), calls=(Step(_TRY, repeat=2),)),
    ),
    case(
        "returns.lock-is-free-after-nobody",
        "a second call without waiting gets in",
        spec(returns="0", calls=(Step(_TRY, repeat=2),)),
    ),
    case(
        "returns.lock-is-free-after-a-wait",
        "who waited lets go as well",
        spec(*PAIR, dies=("small", "large"), calls=(call(flags=1), _TRY)),
    ),
    case(
        "returns.lock-is-free-after-a-wrong-order",
        "the refused call has not taken it",
        spec(PAIR[0], dies=("small",), returns="", calls=(call(order=-1), _TRY)),
    ),
    case(
        "returns.one-kill-a-call",
        "three calls, three victims, the largest first",
        spec(
            *PAIR,
            hog("larger", 12 * M),
            dies=("small", "large", "larger"),
            calls=(Step(call(), repeat=3),),
        ),
    ),
)

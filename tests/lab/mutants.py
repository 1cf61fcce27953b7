"""Kernels that break the contract on purpose: changes of one line to bpf/kernel/bpf_oom_kfunc.c.

Each names the cases that must notice it: `oomctl smoke` is worth as much as it kills of them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """What is replaced by what, and the cases (patterns) each of which must have a failure."""

    name: str
    old: str
    new: str
    blamed: tuple[str, ...]


_CALL = "	ret = static_call(bpf_oom_kill)(&oc);"
_TRY = "		ret = mutex_trylock(lock) ? 0 : -EBUSY;"
_WAIT = "		ret = mutex_lock_killable(lock);"
_FLAGS = "	if (flags & ~(BPF_OOM_FLAGS_LAST - 1))"
_ORDER = "	if (order < 0 || order > MAX_PAGE_ORDER)"
_GFP = "		.gfp_mask = GFP_KERNEL,"
_FILTER = "	return prog->type == BPF_PROG_TYPE_TRACING ? -EACCES : 0;"
_HANDLER = "	if (is_oom_handler(prog))"
_KFUNC = "BTF_ID_FLAGS(func, bpf_out_of_memory, KF_SLEEPABLE | KF_TRUSTED_ARGS)"
_MEMCG = "		.memcg = memcg__nullable,"
_UNLOCK = "	mutex_unlock(lock);\n	return ret;"

MUTATIONS = (
    Mutation(
        "flag-check-removed",
        _FLAGS,
        "	if (0)",
        ("arguments.flags-2", "arguments.flags-4", "arguments.flags-all", "lock.wrong-flag-*"),
    ),
    Mutation(
        "order-check-removed",
        _ORDER,
        "	if (0)",
        ("arguments.order-minus-1", "arguments.order-max-plus-1", "lock.wrong-order-*"),
    ),
    Mutation("trylock-ignored", _TRY, "		ret = 0 & mutex_trylock(lock);", ("lock.busy",)),
    Mutation("trylock-waits", _TRY, _WAIT, ("lock.busy", "lock.busy-for-every-caller")),
    Mutation("wait-ignored", _WAIT, _TRY, ("lock.wait", "lock.many-waiters")),
    Mutation("filter-removed", _FILTER, "	return 0;", ("loadtime.fentry-s", "loadtime.iter-s")),
    Mutation("oom-handlers-may", _HANDLER, "	if (0)", ("loadtime.oom-ops",)),
    Mutation(
        "gfp-mask-0", _GFP, "		.gfp_mask = 0,", ("system.largest", "control.gfp-is-kernel")
    ),
    Mutation(
        "always-1",
        _CALL,
        f"{_CALL} ret = 1;",
        ("returns.0-without-tasks", "empty.no-task", "empty.only-minus-1000"),
    ),
    Mutation("no-kill", _CALL, "	ret = 1;", ("returns.1-when-killed", "selection.largest")),
    Mutation("always-0", _CALL, f"{_CALL} ret = 0;", ("returns.1-when-killed",)),
    Mutation(
        "flags-of-32-bits",
        _FLAGS,
        "	if ((u32)flags & ~(BPF_OOM_FLAGS_LAST - 1))",
        ("arguments.flags-bit-32", "arguments.flags-bit-63"),
    ),
    Mutation(
        "sentinel-is-a-flag",
        _FLAGS,
        "	if (flags & ~(u64)(BPF_OOM_FLAGS_LAST | 1))",
        ("arguments.flags-2", "arguments.flags-3"),
    ),
    Mutation(
        "max-order-refused",
        _ORDER,
        "	if (order < 0 || order >= MAX_PAGE_ORDER)",
        ("arguments.order-max",),
    ),
    Mutation(
        "max-order-plus-1-taken",
        _ORDER,
        "	if (order < 0 || order > MAX_PAGE_ORDER + 1)",
        ("arguments.order-max-plus-1",),
    ),
    Mutation(
        "negative-order-taken",
        _ORDER,
        "	if (order > MAX_PAGE_ORDER)",
        ("arguments.order-minus-1", "arguments.order-int-min"),
    ),
    Mutation(
        "costly-order-refused", _ORDER, "	if (order < 0 || order > 3)", ("arguments.order-4",)
    ),
    Mutation(
        "order-dropped", "		.order = order,", "		.order = 0,", ("arguments.order-5",)
    ),
    Mutation(
        "another-errno",
        f"{_FLAGS}\n		return -EINVAL;",
        f"{_FLAGS}\n		return -EOPNOTSUPP;",
        ("arguments.flags-2",),
    ),
    Mutation(
        "checked-under-the-lock",
        _ORDER,
        "	if (mutex_is_locked(lock)) return -EBUSY; if (order < 0 || order > MAX_PAGE_ORDER)",
        ("lock.wrong-order-is-not-busy",),
    ),
    Mutation(
        "wait-not-killable",
        _WAIT,
        "		mutex_lock(lock), ret = 0;",
        ("lock.killed-while-waiting",),
    ),
    Mutation("never-unlocked", _UNLOCK, "	return ret;", ("returns.lock-is-free-after-a-kill",)),
    Mutation(
        "memcg-dropped",
        _MEMCG,
        "		.memcg = NULL,",
        ("control.memcg-as-given", "events.log-killed-process"),
    ),
    Mutation(
        "called-twice",
        _CALL,
        f"{_CALL} static_call(bpf_oom_kill)(&oc);",
        ("control.one-run-per-call",),
    ),
    Mutation(
        "totalpages-given",
        _GFP,
        f"{_GFP} .totalpages = 1,",
        ("control.totalpages-is-left-to-the-kernel",),
    ),
    Mutation(
        "nodemask-given", _GFP, f"{_GFP} .nodemask = &node_states[0],", ("control.no-nodemask",)
    ),
    Mutation(
        "not-sleepable",
        _KFUNC,
        "BTF_ID_FLAGS(func, bpf_out_of_memory, KF_TRUSTED_ARGS)",
        ("loadtime.tc", "loadtime.in-rcu"),
    ),
    Mutation(
        "pointers-not-trusted",
        _KFUNC,
        "BTF_ID_FLAGS(func, bpf_out_of_memory, KF_SLEEPABLE)",
        ("loadtime.untrusted-memcg",),
    ),
)

FUZZED = {
    "flag-check-removed": 1,
    "order-check-removed": 8,
    "trylock-ignored": 18,
    "wait-ignored": 10,
    "gfp-mask-0": 2,
    "always-1": 5,
    "no-kill": 2,
    "always-0": 2,
    "flags-of-32-bits": 4,
    "sentinel-is-a-flag": 1,
    "max-order-refused": 13,
    "max-order-plus-1-taken": 41,
    "negative-order-taken": 8,
    "costly-order-refused": 2,
    "order-dropped": 2,
    "another-errno": 1,
    "checked-under-the-lock": 73,
}
"""Those that `oomctl fuzz --seed 1` finds, and in which round it was seen to."""
FUZZ_ROUNDS = 100
"""In how many it must: which case comes next depends on what callers at once have met."""

DEADLY = {
    "never-unlocked": "every later call waits for a minute",
    "memcg-dropped": "the guest runs out of tasks to kill",
    "called-twice": "the reference to the chosen task is dropped twice",
}
"""Those that it notices within three rounds, but cannot shrink, since the guest is spoiled."""

UNSEEN = {
    "trylock-waits": "it waits where -EBUSY is allowed, and a late caller may also be too late",
    "filter-removed": "only loads the program that oomctl needs",
    "oom-handlers-may": "only loads the program that oomctl needs",
    "not-sleepable": "only loads the program that oomctl needs",
    "pointers-not-trusted": "only loads the program that oomctl needs",
    "wait-not-killable": "kills no caller",
    "totalpages-given": "out_of_memory() overwrites it",
    "nodemask-given": "the OOM killer of a cgroup ignores it",
}
"""Those that no case of `oomctl fuzz` can notice, and why: it, or the kernel ..."""

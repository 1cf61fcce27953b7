"""Who dies: by size, oom_score_adj and the target's own limit (mm/oom_kill.c, oom_badness)."""

import os
import signal
import time
from collections.abc import Iterator, Sequence

import psutil

from oomctl.hog.hogset import RunningHog
from oomctl.oom.plan import Hog
from oomctl.smoke import facts
from oomctl.smoke.cases.common import (
    PAIR,
    Case,
    CaseRun,
    CaseRunner,
    Check,
    K,
    M,
    call,
    case,
    equal,
    hog,
    spec,
)
from oomctl.smoke.facts import Skipped
from oomctl.smoke.spec import TOP, Files


def _limited(limit: int | str, **files: str) -> Files:
    return {TOP: {"memory.max": str(limit), **files}}


def _totalpages(name: str, about: str, pages: int, *, files: Files, at: str = TOP) -> Case:
    """Return the case that the OOM killer scales oom_score_adj by just so many pages."""

    def also(case_run: CaseRun) -> Iterator[Check]:
        found = [passage.totalpages for passage in case_run.passages_of(0)]
        yield equal("totalpages", [pages], found)

    drawn = spec(
        hog("only", 1 * M, at=f"{at}/leaf" if at != TOP else "only"),
        dies=("only",),
        files=files,
        calls=(call(at),),
    )
    return case(name, about, drawn, facts.gate, facts.pages_of_4k, also=also)


def _freeze(runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    top = runner.root.at(running_hogs[0].hog.cgroup).parent
    top.controller.freeze = True
    deadline = time.monotonic() + 5
    while not (top.controller.cgroup_events or {}).get("frozen"):
        if time.monotonic() > deadline:
            raise Skipped("the cgroup does not freeze within 5 s")
        time.sleep(0.002)


def _stop(_bench: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    for running_hog in running_hogs:
        os.kill(running_hog.pid, signal.SIGSTOP)


def _swap_out(runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    """Let the larger hog's memory go to swap, so that less of it is resident than of the other."""
    large = next(running_hog for running_hog in running_hogs if running_hog.hog.name == "large")
    node = runner.root.at(large.hog.cgroup)
    try:
        node.controller.set_property(b"memory.reclaim", large.hog.size - 2 * M)
    except Exception as error:  # EAGAIN: it got less
        raise Skipped(f"the kernel does not swap it out: {error}") from error
    rss = psutil.Process(large.pid).memory_info().rss
    if rss > 6 * M:
        raise Skipped(f"{rss >> 20} MiB of it are still resident")


_SHARED = Hog("pair", 4 * M, cgroup="pair", kind="shared", sharer="pair")


def _later_of_equals(case_run: CaseRun) -> Iterator[Check]:
    """Check who of two with one and the same memory is the victim, and who only shares it."""
    (declared,) = case_run.outcome.calls
    pids = [fated.task.pid for fated in case_run.outcome.tasks]
    yield equal("the chosen is the later in scan order", pids[1:], sorted(declared.victims))


CASES = (
    case("selection.largest", "the largest dies", spec(*PAIR, dies=("large",))),
    case(
        "selection.largest-of-many",
        "the largest of eight dies",
        spec(*(hog(f"hog-{n}", (n + 1) * M) for n in range(8)), dies=("hog-7",)),
    ),
    case(
        "selection.largest-is-not-the-last",
        "the order of their making does not matter",
        spec(hog("large", 6 * M), hog("small", 2 * M), dies=("large",)),
    ),
    case(
        "selection.adj-outweighs-size",
        "memory.max 64M, so +1000 is worth 62.5 MiB",
        spec(
            hog("small", 2 * M, 1000), hog("large", 24 * M), dies=("small",), files=_limited(64 * M)
        ),
        facts.pages_of_4k,
    ),
    case(
        "selection.adj-too-little",
        "memory.max 64M, so +100 is worth 6.25 MiB",
        spec(
            hog("small", 2 * M, 100), hog("large", 16 * M), dies=("large",), files=_limited(64 * M)
        ),
        facts.pages_of_4k,
    ),
    case(
        "selection.negative-adj-protects",
        "memory.max 64M, so -500 is worth 31 MiB",
        spec(
            hog("small", 2 * M), hog("large", 24 * M, -500), dies=("small",), files=_limited(64 * M)
        ),
        facts.pages_of_4k,
    ),
    case(
        "selection.negative-scores-are-fine",
        "of two below zero the larger score dies",
        spec(
            hog("less", 2 * M, -900),
            hog("more", 2 * M, -600),
            dies=("more",),
            files=_limited(64 * M),
        ),
    ),
    case(
        "selection.adj-minus-999-is-eligible",
        "the only task dies even so",
        spec(hog("only", 2 * M, -999), dies=("only",)),
    ),
    case(
        "selection.adj-minus-1000-is-passed-over",
        "the large one is not to be killed, so the small one dies",
        spec(hog("small", 2 * M), hog("large", 16 * M, -1000), dies=("small",)),
    ),
    case(
        "selection.unlimited-any-adj-wins",
        "without memory.max one point of adj outranks every size",
        spec(hog("small", 2 * M, 1), hog("large", 24 * M), dies=("small",)),
    ),
    case(
        "selection.unlimited-more-adj-wins",
        "999 and large against 1000 and small",
        spec(hog("small", 2 * M, 1000), hog("large", 24 * M, 999), dies=("small",)),
    ),
    case(
        "selection.tiny-limit-ignores-adj",
        "below 1000 pages totalpages / 1000 is 0: adj has no weight",
        spec(
            hog("small", 512 * K, 1000),
            hog("large", 1536 * K),
            dies=("large",),
            files=_limited(3996 * K),
        ),
        facts.pages_of_4k,
    ),
    case(
        "selection.tiny-limit-keeps-minus-1000",
        "but for -1000, which is no weight",
        spec(
            hog("small", 512 * K),
            hog("large", 1536 * K, -1000),
            dies=("small",),
            files=_limited(3996 * K),
        ),
        facts.pages_of_4k,
    ),
    case(
        "selection.1000-pages-weigh-1",
        "at 1000 pages a point is worth one page, and 1000 points more than 1 MiB",
        spec(
            hog("small", 512 * K, 1000),
            hog("large", 1536 * K),
            dies=("small",),
            files=_limited(4000 * K),
        ),
        facts.pages_of_4k,
    ),
    case(
        "selection.limits-above-are-ignored",
        "the target has no limit of its own: one point outranks every size",
        spec(
            hog("small", 2 * M, 1, "target/small"),
            hog("large", 24 * M, 0, "target/large"),
            dies=("small",),
            files=_limited(64 * M),
            calls=(call("target"),),
        ),
    ),
    case(
        "selection.limits-below-are-ignored",
        "the target's 64M counts, not what its children have",
        spec(
            hog("small", 2 * M, 10),
            hog("large", 16 * M),
            dies=("large",),
            files={**_limited(64 * M), "small": {"memory.max": "16M"}},
        ),
        facts.pages_of_4k,
    ),
    _totalpages(
        "selection.totalpages-is-the-limit", "64M are 16384 pages", 16384, files=_limited(64 * M)
    ),
    _totalpages(
        "selection.totalpages-of-the-target-alone",
        "the 32M of the target count, not the 64M above it",
        8192,
        files={**_limited(64 * M), "target": {"memory.max": "32M", "memory.swap.max": "0"}},
        at="target",
    ),
    _totalpages(
        "selection.totalpages-without-limit",
        "`max` is as many pages as a page counter holds",
        (2**63 - 1) // 4096,
        files={},
    ),
    case(
        "selection.tie-goes-to-the-later",
        "of two processes with one memory the later in scan order is chosen",
        spec(_SHARED, dies=("pair",), collateral=1),
        also=_later_of_equals,
    ),
    case(
        "selection.frozen",
        "a frozen task is chosen, and dies though frozen",
        spec(*PAIR, dies=("large",)),
        ready=_freeze,
    ),
    case(
        "selection.stopped",
        "a stopped task (SIGSTOP) is chosen, and dies",
        spec(*PAIR, dies=("large",)),
        ready=_stop,
    ),
    case(
        "selection.threads-count-once",
        "threads share their memory: four of 4 MiB together are less than 8 MiB",
        spec(
            Hog("threads", 4 * M, kind="threads", tasks=4), hog("single", 8 * M), dies=("single",)
        ),
    ),
    case(
        "selection.a-process-dies-with-its-threads",
        "the threads' common memory is the largest",
        spec(
            Hog("threads", 8 * M, kind="threads", tasks=4), hog("single", 2 * M), dies=("threads",)
        ),
    ),
    case(
        "selection.shmem-counts",
        "resident shared memory counts as the anonymous does",
        spec(Hog("shmem", 8 * M, kind="shmem"), hog("anon", 4 * M), dies=("shmem",)),
    ),
    case(
        "selection.memory-of-no-task-does-not-count",
        "what is charged for pipes is no task's: the smaller task dies",
        spec(Hog("pipe", 12 * M, kind="pipe"), hog("anon", 2 * M), dies=("anon",)),
    ),
    case(
        "selection.swap-counts",
        "what was swapped out counts as if it were resident",
        spec(
            hog("small", 12 * M),
            hog("large", 24 * M),
            dies=("large",),
            files={TOP: {"memory.swap.max": "max"}},
        ),
        facts.swap,
        ready=_swap_out,
    ),
)

"""Which task dies: size, oom_score_adj and the target's own limit (mm/oom_kill.c, oom_badness)."""

import os
import signal
from collections.abc import Iterator, Sequence

import psutil

from oomctl.hog.hogset import RunningHog
from oomctl.oom.check import Check
from oomctl.oom.plan import Hog
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import LARGE_DIES, case, equal, wait_until
from oomctl.smoke.facts import Skipped
from oomctl.smoke.runner import CaseRun, CaseRunner
from oomctl.smoke.spec import TOP, Files, K, M, call, hog, spec


def _of(name: str, about: str, dies: str, *hogs: Hog) -> Case:
    """Return the case that of these hogs one dies."""
    return case(f"selection.{name}", about, spec(*hogs, dies=(dies,)))


def _limited(name: str, about: str, limit: int, dies: str, *hogs: Hog) -> Case:
    """Return the case that of these hogs, in a target with memory.max, one dies."""
    files = {TOP: {"memory.max": str(limit)}}
    kill = spec(*hogs, dies=(dies,), files=files)
    return case(f"selection.{name}", about, kill, facts.pages_of_4k)


def _totalpages(name: str, about: str, pages: int, files: Files, at: str = TOP) -> Case:
    """Return the case that the OOM killer scales oom_score_adj by this many pages."""

    def check(case_run: CaseRun) -> Iterator[Check]:
        found = [passage.totalpages for passage in case_run.passages_of(0)]
        yield equal("totalpages", [pages], found)

    only = hog("only", 1 * M, at=f"{at}/leaf" if at != TOP else "only")
    kill = spec(only, dies=("only",), files=files, calls=(call(at),))
    return case(f"selection.{name}", about, kill, facts.gate, facts.pages_of_4k, checks=check)


def _freeze(runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    top = runner.root.at(running_hogs[0].hog.cgroup).parent
    top.controller.freeze = True
    wait_until(
        lambda: bool((top.controller.cgroup_events or {}).get("frozen")),
        5.0,
        "the cgroup did not freeze within 5 s",
    )


def _stop(_runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    for running_hog in running_hogs:
        os.kill(running_hog.pid, signal.SIGSTOP)


def _swap_out(runner: CaseRunner, running_hogs: Sequence[RunningHog]) -> None:
    """Swap out the larger hog, so that less of it is resident than of the other."""
    large = next(running_hog for running_hog in running_hogs if running_hog.hog.name == "large")
    node = runner.root.at(large.hog.cgroup)
    try:
        node.controller.set_property(b"memory.reclaim", large.hog.size - 2 * M)
    except Exception as error:  # EAGAIN: less was reclaimed
        raise Skipped(f"the kernel did not swap the hog out: {error}") from error
    rss = psutil.Process(large.pid).memory_info().rss
    if rss > 6 * M:
        raise Skipped(f"{rss >> 20} MiB of the hog are still resident")


def _later_dies(case_run: CaseRun) -> Iterator[Check]:
    """Check which of two processes with one memory is the victim, and which only shares it."""
    pids = [task_report.task.pid for task_report in case_run.outcome.tasks]
    yield equal(
        "the victim is the later in scan order", pids[1:], sorted(case_run.only_call.victims)
    )


_SMALL, _LARGE = hog("small", 2 * M), hog("large", 24 * M)
_64M = {TOP: {"memory.max": str(64 * M)}}

CASES = (
    case("selection.largest", "the larger of two tasks dies", LARGE_DIES),
    _of(
        "largest-of-many",
        "the largest of eight tasks dies",
        "hog-7",
        *(hog(f"hog-{n}", (n + 1) * M) for n in range(8)),
    ),
    _of(
        "largest-is-not-the-last",
        "the largest task dies, though it was made first",
        "large",
        hog("large", 6 * M),
        _SMALL,
    ),
    _limited(
        "adj-outweighs-size",
        "with memory.max 64M an oom_score_adj of 1000 is worth 62.5 MiB",
        64 * M,
        "small",
        hog("small", 2 * M, 1000),
        _LARGE,
    ),
    _limited(
        "adj-too-little",
        "with memory.max 64M an oom_score_adj of 100 is worth 6.25 MiB",
        64 * M,
        "large",
        hog("small", 2 * M, 100),
        hog("large", 16 * M),
    ),
    _limited(
        "negative-adj-protects",
        "with memory.max 64M an oom_score_adj of -500 is worth -31 MiB",
        64 * M,
        "small",
        _SMALL,
        hog("large", 24 * M, -500),
    ),
    case(
        "selection.negative-scores-are-fine",
        "of two tasks with a negative score the one with the higher score dies",
        spec(hog("less", 2 * M, -900), hog("more", 2 * M, -600), dies=("more",), files=_64M),
    ),
    _of(
        "adj-minus-999-is-eligible",
        "the only task dies even at oom_score_adj -999",
        "only",
        hog("only", 2 * M, -999),
    ),
    _of(
        "adj-minus-1000-is-passed-over",
        "a large task at oom_score_adj -1000 lives, and a small one dies",
        "small",
        _SMALL,
        hog("large", 16 * M, -1000),
    ),
    _of(
        "unlimited-any-adj-wins",
        "without memory.max one point of oom_score_adj outweighs any size",
        "small",
        hog("small", 2 * M, 1),
        _LARGE,
    ),
    _of(
        "unlimited-more-adj-wins",
        "without memory.max a small task at 1000 dies before a large one at 999",
        "small",
        hog("small", 2 * M, 1000),
        hog("large", 24 * M, 999),
    ),
    _limited(
        "tiny-limit-ignores-adj",
        "with a limit below 1000 pages totalpages / 1000 is 0: oom_score_adj has no weight",
        3996 * K,
        "large",
        hog("small", 512 * K, 1000),
        hog("large", 1536 * K),
    ),
    _limited(
        "tiny-limit-keeps-minus-1000",
        "with a limit below 1000 pages a task at -1000 still lives",
        3996 * K,
        "small",
        hog("small", 512 * K),
        hog("large", 1536 * K, -1000),
    ),
    _limited(
        "1000-pages-weigh-1",
        "with a limit of 1000 pages a point of oom_score_adj is worth one page",
        4000 * K,
        "small",
        hog("small", 512 * K, 1000),
        hog("large", 1536 * K),
    ),
    case(
        "selection.limits-above-are-ignored",
        "a limit above the target does not count: one point of oom_score_adj outweighs any size",
        spec(
            hog("small", 2 * M, 1, "target/small"),
            hog("large", 24 * M, 0, "target/large"),
            dies=("small",),
            files=_64M,
            calls=(call("target"),),
        ),
    ),
    case(
        "selection.limits-below-are-ignored",
        "the target's limit of 64M counts, not the limit of a child",
        spec(
            hog("small", 2 * M, 10),
            hog("large", 16 * M),
            dies=("large",),
            files={**_64M, "small": {"memory.max": "16M"}},
        ),
        facts.pages_of_4k,
    ),
    _totalpages("totalpages-is-the-limit", "memory.max 64M is 16384 totalpages", 16384, _64M),
    _totalpages(
        "totalpages-of-the-target-alone",
        "the target's own 32M count, not the 64M of its parent",
        8192,
        {**_64M, "target": {"memory.max": "32M", "memory.swap.max": "0"}},
        at="target",
    ),
    _totalpages(
        "totalpages-without-limit",
        "memory.max `max` is the largest number of pages that a page counter holds",
        (2**63 - 1) // 4096,
        {},
    ),
    case(
        "selection.tie-goes-to-the-later",
        "of two processes that share one memory the later in scan order is chosen",
        spec(
            Hog("pair", 4 * M, cgroup="pair", kind="shared", sharer="pair"),
            dies=("pair",),
            collateral=1,
        ),
        checks=_later_dies,
    ),
    case(
        "selection.frozen",
        "a frozen task is chosen, and dies though it is frozen",
        LARGE_DIES,
        prepare=_freeze,
    ),
    case(
        "selection.stopped",
        "a stopped task (SIGSTOP) is chosen, and dies",
        LARGE_DIES,
        prepare=_stop,
    ),
    _of(
        "threads-count-once",
        "four threads share their 4 MiB, so a task of 8 MiB dies",
        "single",
        Hog("threads", 4 * M, kind="threads", tasks=4),
        hog("single", 8 * M),
    ),
    _of(
        "a-process-dies-with-its-threads",
        "a process of four threads dies as a whole",
        "threads",
        Hog("threads", 8 * M, kind="threads", tasks=4),
        hog("single", 2 * M),
    ),
    _of(
        "shmem-counts",
        "resident shared memory counts like anonymous memory",
        "shmem",
        Hog("shmem", 8 * M, kind="shmem"),
        hog("anon", 4 * M),
    ),
    _of(
        "pipe-memory-does-not-count",
        "pages in pipes belong to no task, so the task with less of its own memory lives",
        "anon",
        Hog("pipe", 12 * M, kind="pipe"),
        hog("anon", 2 * M),
    ),
    case(
        "selection.swap-counts",
        "swapped-out memory counts like resident memory",
        spec(
            hog("small", 12 * M), _LARGE, dies=("large",), files={TOP: {"memory.swap.max": "max"}}
        ),
        facts.swap,
        prepare=_swap_out,
    ),
)

"""Which task dies: size, oom_score_adj and the target's own limit (mm/oom_kill.c, oom_badness)."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace

import psutil

from oomctl.hog.hogset import RunningHog
from oomctl.oom.outcome import Check
from oomctl.oom.plan import Hog
from oomctl.proc.procfs import PAGE_SIZE
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import LARGE_DIES, case, equal, spec_of, wait_until
from oomctl.smoke.facts import Skipped
from oomctl.smoke.runner import CaseRun, CaseRunner
from oomctl.smoke.spec import TOP, Files, M, call, hog, spec


def _of(name: str, about: str, hogs: str) -> Case:
    """Return the case which of these hogs dies."""
    return case(f"selection.{name}", about, spec_of(hogs))


def _limited(name: str, about: str, pages: int, hogs: str) -> Case:
    """Return the case which of these hogs dies in a target with a limit of this many pages."""
    files = {TOP: {"memory.max": str(pages * PAGE_SIZE)}}
    return case(f"selection.{name}", about, spec_of(hogs, files=files))


def _totalpages(name: str, about: str, pages: int, files: Files, at: str = TOP) -> Case:
    """Return the case that the OOM killer scales oom_score_adj by this many pages."""

    def check(case_run: CaseRun) -> Iterator[Check]:
        found = [passage.totalpages for passage in case_run.passages_of(0)]
        yield equal("totalpages", [pages], found)

    only = hog("only", 1 * M, at=f"{at}/leaf" if at != TOP else "only")
    kill = spec(only, dies=("only",), files=files, calls=(call(at),))
    return case(f"selection.{name}", about, kill, facts.gate, checks=check)


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


_THREADS = Hog("threads", 4 * M, kind="threads", tasks=4)
_64M = {TOP: {"memory.max": "64M"}}
_SMALL, _LARGE = 128 * PAGE_SIZE, 384 * PAGE_SIZE

CASES = (
    case("selection.largest", "the larger of two tasks dies", LARGE_DIES),
    _of(
        "largest-of-many",
        "the largest of eight tasks dies",
        ", ".join(f"hog-{n} {n + 1}M" for n in range(8)) + " dies",
    ),
    _of(
        "largest-is-not-the-last",
        "the largest task dies, though it was made first",
        "large 6M dies, small 2M",
    ),
    _limited(
        "adj-outweighs-size",
        "with memory.max 64M an oom_score_adj of 1000 is worth 62.5 MiB",
        64 * M // PAGE_SIZE,
        "small 2M adj 1000 dies, large 24M",
    ),
    _limited(
        "adj-too-little",
        "with memory.max 64M an oom_score_adj of 100 is worth 6.25 MiB",
        64 * M // PAGE_SIZE,
        "small 2M adj 100, large 16M dies",
    ),
    _limited(
        "negative-adj-protects",
        "with memory.max 64M an oom_score_adj of -500 is worth -31 MiB",
        64 * M // PAGE_SIZE,
        "small 2M dies, large 24M adj -500",
    ),
    case(
        "selection.negative-scores-are-fine",
        "of two tasks with a negative score the one with the higher score dies",
        spec_of("less 2M adj -900, more 2M adj -600 dies", files=_64M),
    ),
    _of(
        "adj-minus-999-is-eligible",
        "the only task dies even at oom_score_adj -999",
        "only 2M adj -999 dies",
    ),
    _of(
        "adj-minus-1000-is-passed-over",
        "a large task at oom_score_adj -1000 lives, and a small one dies",
        "small 2M dies, large 16M adj -1000",
    ),
    _of(
        "unlimited-any-adj-wins",
        "without memory.max one point of oom_score_adj outweighs any size",
        "small 2M adj 1 dies, large 24M",
    ),
    _of(
        "unlimited-more-adj-wins",
        "without memory.max a small task at 1000 dies before a large one at 999",
        "small 2M adj 1000 dies, large 24M adj 999",
    ),
    _limited(
        "tiny-limit-ignores-adj",
        "with a limit below 1000 pages totalpages / 1000 is 0: oom_score_adj has no weight",
        999,
        f"small {_SMALL} adj 1000, large {_LARGE} dies",
    ),
    _limited(
        "tiny-limit-keeps-minus-1000",
        "with a limit below 1000 pages a task at -1000 still lives",
        999,
        f"small {_SMALL} dies, large {_LARGE} adj -1000",
    ),
    _limited(
        "1000-pages-weigh-1",
        "with a limit of 1000 pages a point of oom_score_adj is worth one page",
        1000,
        f"small {_SMALL} adj 1000 dies, large {_LARGE}",
    ),
    case(
        "selection.limits-above-are-ignored",
        "a limit above the target does not count: one point of oom_score_adj outweighs any size",
        spec_of(
            "small 2M adj 1 in target/small dies, large 24M in target/large",
            files=_64M,
            calls=(call("target"),),
        ),
    ),
    case(
        "selection.limits-below-are-ignored",
        "the target's limit of 64M counts, not the limit of a child",
        spec_of("small 2M adj 10, large 16M dies", files={**_64M, "small": {"memory.max": "16M"}}),
    ),
    _totalpages(
        "totalpages-is-the-limit", "totalpages is memory.max in pages", 64 * M // PAGE_SIZE, _64M
    ),
    _totalpages(
        "totalpages-of-the-target-alone",
        "the target's own 32M count, not the 64M of its parent",
        32 * M // PAGE_SIZE,
        {**_64M, "target": {"memory.max": "32M", "memory.swap.max": "0"}},
        at="target",
    ),
    _totalpages(
        "totalpages-without-limit",
        "memory.max `max` is the largest number of pages that a page counter holds",
        (2**63 - 1) // PAGE_SIZE,
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
    case(
        "selection.threads-count-once",
        "four threads share their 4 MiB, so a task of 8 MiB dies",
        spec(_THREADS, hog("single", 8 * M), dies=("single",)),
    ),
    case(
        "selection.a-process-dies-with-its-threads",
        "a process of four threads dies as a whole",
        spec(replace(_THREADS, size=8 * M), hog("single", 2 * M), dies=("threads",)),
    ),
    case(
        "selection.shmem-counts",
        "resident shared memory counts like anonymous memory",
        spec(Hog("shmem", 8 * M, kind="shmem"), hog("anon", 4 * M), dies=("shmem",)),
    ),
    case(
        "selection.pipe-memory-does-not-count",
        "pages in pipes belong to no task: a task with less memory of its own dies",
        spec(Hog("pipe", 12 * M, kind="pipe"), hog("anon", 2 * M), dies=("anon",)),
    ),
    case(
        "selection.swap-counts",
        "swapped-out memory counts like resident memory",
        spec_of("small 12M, large 24M dies", files={TOP: {"memory.swap.max": "max"}}),
        facts.swap,
        prepare=_swap_out,
    ),
)

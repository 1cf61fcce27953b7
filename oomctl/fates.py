"""What became of every task of an experiment, put together from all its declarations. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from oomctl.evidence import Kill
from oomctl.fate import Death, fate_of
from oomctl.outcome import Declared, Fated
from oomctl.task import Task
from oomctl.text import printable


def fates(
    tasks: Sequence[Task],
    find: Callable[[int], Task | None],
    fated: Callable[[Task], Fated],
    declared: Sequence[Declared],
    deaths: Mapping[int, Death],
) -> Iterator[Fated]:
    """Tell the fate of the tasks that were there before, and of victims elsewhere.

    `find` returns a task that was seen outside of `tasks`; `fated` says what is known of a task
    beforehand (hog, sizes), its fate left open.
    """
    kills = {kill.pid: (kill, one.call.via) for one in declared for kill in one.kills}
    exits = {
        stamp.pid: stamp.at_ns
        for one in declared
        for stamp in one.timeline.stamps
        if stamp.name == "exited"
    }
    badness = {
        candidate.task.pid: candidate.badness
        for one in reversed(declared)
        if one.prediction
        for candidate in one.prediction.candidates
    }
    known = list(tasks)
    for pid, (kill, _via) in kills.items():
        if all(task.pid != pid for task in known):
            known.append(find(pid) or _unknown(kill))
    for task in known:
        death = deaths.get(task.pid)
        if death and task.pid in exits:
            death = replace(death, at_ns=exits[task.pid])
        via = kills[task.pid][1] if task.pid in kills else None
        call = _call_of(task.pid, death, declared)
        yield replace(
            fated(task),
            fate=fate_of(death, via not in (None, "kill"), via == "kill"),
            call=call,
            died_after_ns=death.at_ns - declared[call].answer.began_ns
            if death and call is not None
            else None,
            badness=badness.get(task.pid),
            collateral=any(task.pid in one.collateral for one in declared),
        )


def _call_of(pid: int, death: Death | None, declared: Sequence[Declared]) -> int | None:
    """Return the index of the call that killed it, else of the last that began before it died."""
    if death is None:
        return None
    for index, one in enumerate(declared):
        if any(kill.pid == pid for kill in one.kills):
            return index
    began = [i for i, one in enumerate(declared) if one.answer.began_ns <= death.at_ns]
    return began[-1] if began else None


def _unknown(kill: Kill) -> Task:
    """Stand in for a victim born after the snapshot: all there is, is the kernel's word."""
    cgroup = printable(kill.memcg or "?")
    return Task(kill.pid, kill.comm, cgroup, kill.oom_score_adj, kill.rss, 0, 0, 0.0)

"""Flip points against the kernel: one step before them it chooses as now, at them another task.

OOMCTL_FLIPS is the number of random trees, OOMCTL_FLIPS_FROM the first of them. Each flip of the
predicted victim, of its runner-up and of one other task is tried on a tree of its own, twice. A
kernel that does not sum its per-CPU counters may choose another task so near the turn: what the
model itself calls too close to call counts as explained.
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.errors import OomctlError
from oomctl.experiment.candidates import read_candidates
from oomctl.experiment.environment import require_kfunc
from oomctl.experiment.session import Session
from oomctl.hog.hogset import NotFilledError
from oomctl.oom.enums import FlipKind
from oomctl.oom.flip import Flip, changed, flips
from oomctl.oom.prediction import Candidates
from tests.kernel.test_prediction import reclaim
from tests.kernel.trees import K, M, random_tree

TREES = int(os.environ.get("OOMCTL_FLIPS", "5"))
FROM = int(os.environ.get("OOMCTL_FLIPS_FROM", "0"))
_RESIZED = ("anon", "mlock", "shmem")
_MOST_GROWN = 16 * M  # the limits of a random tree leave room for twice that
_ROOM = 256 * K  # that memory.max stays above the usage, so that its write itself kills no task
_TRIES = 3
_GOOD = ("agreed", "explained")
_PAGE = 4 * K
_SHORT = 10  # pages that a resized hog is started too small, to be grown to the exact size


class NotTriedError(OomctlError):
    """Ends a round before its call."""


@dataclass(frozen=True)
class Spec:
    """One flip: whose choice it turns, as (comm, cgroup), of what, and by how much about."""

    asked: tuple[str, str]
    kind: FlipKind
    upwards: bool
    by: int


class Trial:
    """The flips of one random tree, each tried in rounds of its own."""

    def __init__(self, session, root, swap_area, tree):
        call = replace(tree.call, via="bpf", amount=None)
        step = replace(tree.plan.steps[0], call=call)
        # the children of a forker come and go; a tracer only holds a task that is dead already
        hogs = [
            replace(hog, kind="anon", tasks=1) if hog.kind in ("forker", "traced") else hog
            for hog in tree.plan.hogs
        ]
        self.plan = replace(tree.plan, hogs=tuple(hogs), steps=(step,))
        self.tree, self.session, self.root, self.swap_area = tree, session, root, swap_area
        self.node = None
        self.left_out = Counter()

    def run(self, plan, look):
        """Carry out a plan; `look` gets the candidates before the call."""

        def ready(_hogs):
            reclaim(self.tree)
            self.node = hierarchy.find_cgroup(self.root, self.tree.target)
            look(read_candidates(self.node, self.root))

        with self.swap_area(self.tree.swap):
            return self.session.run(plan, ready)

    def sides(self):
        """Return the flips that the model computes for this tree, each with both sides."""
        found = []

        def look(given):
            ranked = [c.task.pid for c in given.predict().candidates if c.badness is not None]
            others = [task.pid for task in given.tasks if task.pid not in ranked[:2]]
            some = random.Random(self.tree.number).sample(others, min(1, len(others)))
            names = {task.pid: (task.comm, task.cgroup) for task in given.tasks}
            known = Counter(names.values())
            for pid in [*ranked[:2], *some]:
                for flip in flips(given, pid) if known[names[pid]] == 1 else ():
                    if flip.pid in (pid, None) and self._possible(flip, names[pid]):
                        by = flip.after - (flip.before or 0)
                        found.append(Spec(names[pid], flip.kind, flip.upwards, by))
            raise NotTriedError("seen")

        with pytest.raises(NotTriedError):
            self.run(self.plan, look)
        return [(spec, at_flip) for spec in found for at_flip in (False, True)]

    def _possible(self, flip, asked):
        """Tell whether the flip can be tried, and count it if not."""
        if flip.after is None:
            why = "no value turns it"
        elif flip.kind is FlipKind.LIMIT and not self._has_room(flip.after):
            why = "below the usage"
        elif flip.kind is FlipKind.SIZE and not _with_size(
            self.plan, asked, flip.after - flip.before - _SHORT * _PAGE
        ):
            why = "hog cannot have that size"
        else:
            return True
        self.left_out[flip.kind, f"left out: {why}"] += 1
        return False

    def _has_room(self, limit):
        return limit >= self.node.controller.memory_current + _ROOM

    def tried(self, spec, at_flip):
        """Try one side of a flip: "agreed", "explained", or what is wrong."""
        if spec.kind is FlipKind.SIZE:
            return self._resized(spec, at_flip)
        expected = []

        def look(given):
            flip = self._found(given, spec)
            value = flip.after if at_flip else _before(flip, given.page_size)
            expected.append(changed(given, flip.kind, flip.pid, value).predict())
            if flip.kind is FlipKind.LIMIT:
                if not self._has_room(value):
                    raise NotTriedError("below the usage")
                (self.node.directory / "memory.max").write_text(str(value))
            else:
                Path(f"/proc/{flip.pid}/oom_score_adj").write_text(str(value))

        return _judged(self.run(self.plan, look), expected)

    def _resized(self, spec, at_flip):
        """Give the hog the size on that side of the turn, to the page.

        The hogs of two rounds differ by some pages, so it is started too small, and grown by pages
        of its stack.
        """
        by = spec.by
        for _ in range(_TRIES):
            plan = _with_size(self.plan, spec.asked, by - _SHORT * _PAGE)
            if plan is None:
                raise NotTriedError("hog cannot have that size")
            expected, off = [], []

            def look(given, expected=expected, off=off):
                missing = self._missing(given, spec, at_flip)
                if not 0 <= missing <= 2 * _SHORT * _PAGE:
                    off.append(missing - _SHORT * _PAGE)
                    raise NotTriedError("size")
                grown = iter(_stack(self._pid(given, spec)))
                while missing > 0 and (page := next(grown, None)):
                    page()
                    given = read_candidates(self.node, self.root)
                    missing = self._missing(given, spec, at_flip)
                if missing:
                    raise NotTriedError("no exact size")
                expected.append(given.predict())

            try:
                return _judged(self.run(plan, look), expected)
            except NotFilledError:
                raise NotTriedError("does not fit below a limit") from None
            except NotTriedError:
                if not off:
                    raise
                by += off[0]
        raise NotTriedError("no exact size")

    def _missing(self, given, spec, at_flip):
        """Return the bytes that the hog lacks to be on that side of the turn."""
        flip = self._found(given, spec)
        # the least with which it is chosen
        turn = flip.after + (_PAGE if given.predict().candidates[0].task.pid == flip.pid else 0)
        return (turn if at_flip is spec.upwards else turn - _PAGE) - flip.before

    def _pid(self, given, spec):
        (pid,) = (t.pid for t in given.tasks if (t.comm, t.cgroup) == spec.asked)
        return pid

    def _found(self, given: Candidates, spec) -> Flip:
        """Return the flip as it is in this round, a few pages apart from the last one's."""
        asked = self._pid(given, spec)
        own = [f for f in flips(given, asked) if f.kind is spec.kind and f.pid in (asked, None)]
        own = [flip for flip in own if flip.after is not None]
        # of equal hogs another one may be the first in this round: then it turns the other way
        found = min(own, key=lambda flip: flip.upwards is not spec.upwards, default=None)
        if found is None:
            raise NotTriedError("gone")
        return found


def _before(flip, page_size):
    step = 1 if flip.kind is FlipKind.ADJ else page_size
    return flip.after + (-step if flip.upwards else step)


def _with_size(plan, owner, by):
    """Return the plan with another size of one hog; None if that cannot be."""
    hogs = []
    for hog in plan.hogs:
        if (hog.label[:15], hog.cgroup) == owner:
            if hog.kind not in _RESIZED or hog.size + by < 0 or by > _MOST_GROWN:
                return None
            hog = replace(hog, size=hog.size + by)
        hogs.append(hog)
    return replace(plan, hogs=tuple(hogs))


def _stack(pid):
    """Yield functions that each touch one more page of a task's stack, from its low end on."""
    line = next(x for x in Path(f"/proc/{pid}/maps").read_text().splitlines() if "[stack]" in x)
    low, high = (int(word, 16) for word in line.split()[0].split("-"))
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for address in range(low, high - 4 * _PAGE, _PAGE):

            def touch(address=address):
                memory.seek(address)
                memory.write(b"\0")

            yield touch


def _judged(outcome, expected):
    (report,), (prediction,) = outcome.calls, expected
    killed = report.victims | report.gone
    if prediction.agrees(killed):
        return "agreed"
    if prediction.explains(killed):
        return "explained"
    return f"expected {prediction.victims}, killed {sorted(killed)}, {prediction}"


@pytest.mark.timeout(120 + 120 * TREES)
def test_each_flip_of_random_trees_turns_the_kernel_s_choice(swap_area, capsys):
    counts, wrong = Counter(), []
    root = hierarchy.unified_root()
    with Session(root, require_kfunc(), len) as session:
        for number in range(FROM, FROM + TREES):
            trial = Trial(session, root, swap_area, random_tree(number))
            found = [(spec, side, _result(trial, spec, side)) for spec, side in trial.sides()]
            counts += Counter((spec.kind, result) for spec, _, result in found if result in _GOOD)
            counts += Counter(trial.left_out)
            bad = [f"tree {number}, {one}" for one in found if one[2] not in (*_GOOD, "not tried")]
            wrong += bad
            with capsys.disabled():
                results = Counter(f"{one.kind} {result}" for one, _, result in found)
                print(f"\ntree {number}: {dict(results)}", *bad, sep="\n  ", flush=True)
    with capsys.disabled():
        print(f"\nflips of {TREES} trees from {FROM} on, {len(wrong)} wrong:")
        for (kind, result), times in sorted(counts.items()):
            print(f"  {kind}: {times} {result}")
    assert wrong == []
    assert sum(times for (_, result), times in counts.items() if result in _GOOD)


def _result(trial, spec, side):
    try:
        return trial.tried(spec, side)
    except NotTriedError as why:
        trial.left_out[spec.kind, f"not tried: {why}"] += 1
        return "not tried"
    except OomctlError as error:
        return f"{error} {error.hint}"

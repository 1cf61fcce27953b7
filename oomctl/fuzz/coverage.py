"""Which rules, kinds of hogs, verdicts and returns were exercised how often; and steering. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from oomctl.fuzz.case import HIGH, Case
from oomctl.fuzz.contract import is_valid
from oomctl.fuzz.nominal import PAGE, nominal, nominal_tasks
from oomctl.fuzz.oracles import Judged
from oomctl.fuzz.turns import at_step, written
from oomctl.oom.as_text import returned
from oomctl.oom.enums import Occasion, Role, Rule, VerdictName, Via
from oomctl.oom.paths import ancestors, is_within
from oomctl.oom.plan import Action, Call, Plan
from oomctl.oom.prediction import Prediction
from oomctl.oom.task import limit_pages
from oomctl.scenario.actions import FREEZE

SWAPPABLE = ("anon", "threads", "forker", "shared", "stopped", "traced")
"""The kinds of hogs whose swap counts."""

RULE, VICTIM, SWAPPED, VERDICT, RETURN = "rule", "victim", "swapped", "verdict", "return"
ARGUMENT, STEP = "argument", "step"
_MM = "/sys/kernel/mm/"
_GROUPED = "memory.oom.group", "1"
Exercised = tuple[str, str]
"""One of these seven, and which rule, kind of victim, kind whose swap decides and so on."""


def rules(plan: Plan, call: Call, prediction: Prediction) -> Iterator[Rule]:
    """Yield the rules of selection that have their part in one call, as the model chooses."""
    if not is_valid(call):
        yield Rule.BAD_ARGUMENT
        return
    ranked = [one for one in prediction.candidates if one.badness is not None]
    if any(one.excluded == "adj -1000" for one in prediction.candidates):
        yield Rule.EXEMPT
    if not ranked:
        yield Rule.NO_TASK
        return
    first = ranked[0]
    size = prediction.page_size
    largest = max(one.task.pages(size) for one in ranked)
    adjusted = any(one.task.oom_score_adj for one in ranked)
    yield Rule.LARGEST if first.task.pages(size) == largest else Rule.ADJ
    grouped = [at for (at, file), value in written(plan).items() if (file, value) == _GROUPED]
    over = {*ancestors(call.target or "/")} - {call.target}
    for rule, has_part in {
        Rule.NEGATIVE: (first.badness or 0) < 0,
        Rule.TIE: len(ranked) > 1 and ranked[1].badness == first.badness,
        Rule.CLOSE: bool(prediction.close),
        Rule.SMALL_LIMIT: adjusted and prediction.totalpages < 1000,
        Rule.NO_LIMIT: adjusted and prediction.totalpages >= limit_pages(None, size),
        Rule.SWAP: any(one.task.swap for one in ranked),
        Rule.GROUP: len(prediction.victims) > 1,
        Rule.GROUP_ABOVE: not over.isdisjoint(grouped),
        Rule.SHARED: any(
            one.task.memory == first.task.memory and one is not first
            for one in prediction.candidates
        ),
        Rule.LEADER_EXITED: bool(first.task.thread),
        Rule.FROZEN: any(
            is_within(first.task.cgroup, at)
            for (at, file), value in written(plan).items()
            if (file, value) == (FREEZE, "1")
        ),
        Rule.BELOW: first.task.cgroup != call.target,
    }.items():
        if has_part:
            yield rule


def exercised(judged: Judged) -> set[Exercised]:
    """Return what an experiment has exercised."""
    made = (each.action for each in judged.outcome.actions if not each.failed)
    found = {(STEP, _name(action)) for action in made}
    kinds = {row.task.pid: row.kind for row in judged.outcome.tasks if row.kind}
    for each in judged.calls:
        call = each.call
        if call.call.via != Via.KILL:
            found |= {(RULE, rule) for rule in rules(each.plan, call.call, each.prediction)}
        if call.collateral:
            found.add((RULE, Rule.SHARED))
        chosen = {kill.pid for kill in call.kills if kill.role == Role.VICTIM}
        found |= {(VICTIM, kinds[pid]) for pid in chosen if pid in kinds}
        swapped = _swap_decides(each.prediction) & chosen
        found |= {(SWAPPED, kinds[pid]) for pid in swapped if pid in kinds}
        found |= _arguments(call.call)
        found.add((VERDICT, call.verdict.name))
        found.add((RETURN, returned(call.result.ret)))
    return found


def promised(case: Case) -> set[Exercised]:
    """Return what a case is likely to exercise, by the sizes that its hogs are given."""
    plan = case.plan("/fuzzed")
    tasks = nominal_tasks(plan)
    kinds = {hog.label: hog.kind for hog in plan.hogs}
    sure = (action for action in plan.actions if not action.may_fail and not action.after.hogs)
    found = {(STEP, _name(action)) for action in sure}
    high = [action.cgroup for action in plan.actions if action.file == HIGH and case.swap]
    if high:
        found.add((RULE, Rule.SWAP))
        tasks = [
            replace(task, rss=PAGE, swap=task.rss - PAGE)
            if kinds[task.comm] in SWAPPABLE and any(is_within(task.cgroup, at) for at in high)
            else task
            for task in tasks
        ]
    for number, step in enumerate(plan.steps):
        then = at_step(plan, number)
        prediction = nominal(then, step.call, tasks).predict()
        if step.call.via == Via.KILL:
            found.add((VERDICT, VerdictName.CGROUP_KILLED))
            tasks = [each for each in tasks if each not in prediction.tasks]
            continue
        found |= {(RULE, rule) for rule in rules(then, step.call, prediction)}
        found |= _arguments(step.call)
        if step.call.via == Via.RECLAIM and "file" in kinds.values():
            found.add((VERDICT, VerdictName.RECLAIMED))
        if step.callers > 1:
            found.add((VERDICT, VerdictName.CLAIMED_BUT_NONE_DIED))
            found |= {(VERDICT, VerdictName.BUSY)} if step.call.flags == 0 else set()
        if not is_valid(step.call):
            found.add((VERDICT, VerdictName.INVALID_ARGUMENT))
            continue
        dead = [each for each in tasks if each.pid in prediction.victims]
        found |= {(VICTIM, kinds[each.comm]) for each in dead}
        swapped = _swap_decides(prediction)
        found |= {(SWAPPED, kinds[each.comm]) for each in dead if each.pid in swapped}
        memories = {each.memory for each in dead}
        tasks = [each for each in tasks if each.memory not in memories]
    return found


def _name(action: Action) -> str:
    """Say what an action does and when, without the cgroup and the hog."""
    if action.file == FREEZE:
        what = "freeze" if action.value == "1" else "thaw"
    else:
        what = action.file.removeprefix(_MM) or str(action.do)
    when = {Occasion.RETURNED: " after a call", Occasion.MARKED: " after a mark"}
    return what + when.get(action.after.occasion, " with a delay" if action.after.delay else "")


def _arguments(call: Call) -> set[Exercised]:
    if call.via != Via.BPF:
        return set()
    return {(ARGUMENT, f"order {call.order}"), (ARGUMENT, f"flags {call.flags:#x}")}


def _swap_decides(prediction: Prediction) -> frozenset[int]:
    """Return the victims if others would be chosen without the swap of these."""
    victims = {one.task.pid for one in prediction.candidates if one.task.swap} & {
        *prediction.victims
    }
    if not victims or prediction.given is None:
        return frozenset()
    tasks = [replace(t, swap=0) if t.pid in victims else t for t in prediction.tasks]
    others = replace(prediction.given, tasks=tasks).predict().victims
    return frozenset() if others == prediction.victims else frozenset(victims)


@dataclass
class Coverage:
    """Counts what was exercised, and which of several cases promises most of what is rare."""

    counts: Counter[Exercised] = field(default_factory=Counter)

    def add(self, found: Iterable[Exercised]) -> None:
        """Count what one experiment has exercised."""
        self.counts.update(found)

    def choose(self, cases: Sequence[Case]) -> int:
        """Return the index of the case that promises most, the rare counting more."""
        worth = [sum(1 / (1 + self.counts[each]) for each in promised(case)) for case in cases]
        return worth.index(max(worth))

    def rows(self, kinds: Sequence[str]) -> list[tuple[str, str, int]]:
        """Return what, which and how often: every rule and kind, and the verdicts and returns."""
        known = [*((RULE, rule) for rule in Rule), *((VICTIM, kind) for kind in kinds)]
        others = {*self.counts} - {*known}
        seen = sorted(others, key=lambda each: (each[0] in (RULE, VICTIM), each))
        return [(*each, self.counts[each]) for each in (*known, *seen)]

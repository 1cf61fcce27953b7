"""Faults of one line, planted into oomctl's own model and accounting.

Each must be noticed by the unit tests of `unit` or by 500 rounds of fuzz: the tests of oomctl are
worth as much as they notice.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """What is replaced by what in a file of the package."""

    name: str
    file: str
    old: str
    new: str
    unit: str = "oom"

    @property
    def module(self) -> str:
        """The module that the file is."""
        return f"oomctl.{self.file.removesuffix('.py').replace('/', '.')}"


_TASK, _PREDICTION, _VERDICT = "oom/task.py", "oom/prediction.py", "oom/verdict.py"
_ACCOUNT, _KILL, _COUNTS = "oom/account.py", "oom/kill.py", "oom/counts.py"
_FATES, _EXPECTATION, _ORACLES = "oom/fates.py", "oom/expectation.py", "fuzz/oracles.py"
_FOOTPRINT = "self.rss // page_size + self.swap // page_size + self.pgtables // page_size"
_WEIGHT = "task.oom_score_adj * (totalpages // 1000)"

MUTATIONS = (
    # which task is chosen
    Mutation(
        "minus-1000-is-eligible",
        _TASK,
        'return "adj -1000" if self.oom_score_adj == OOM_SCORE_ADJ_MIN else ""',
        'return ""',
    ),
    Mutation("minus-999-is-exempt", _TASK, "OOM_SCORE_ADJ_MIN = -1000", "OOM_SCORE_ADJ_MIN = -999"),
    Mutation("swap-is-free", _TASK, _FOOTPRINT, _FOOTPRINT.replace("self.swap", "0")),
    Mutation("page-tables-are-free", _TASK, _FOOTPRINT, _FOOTPRINT.replace("self.pgtables", "0")),
    Mutation("adj-is-ignored", _TASK, f" + {_WEIGHT}", ""),
    Mutation("adj-helps", _TASK, f"+ {_WEIGHT}", f"- {_WEIGHT}"),
    Mutation("adj-divides-last", _TASK, _WEIGHT, "task.oom_score_adj * totalpages // 1000"),
    Mutation("no-limit-is-0", _TASK, "sys.maxsize if limit is None else limit", "limit or 0"),
    Mutation(
        "swap-without-its-limit",
        _TASK,
        "min(limit_pages(swap_max, page_size), swap // page_size)",
        "swap // page_size",
    ),
    Mutation("tie-to-the-first", _TASK, "    scored.reverse()", "    pass"),
    Mutation("smallest-first", _TASK, "key=lambda pair: -pair[0]", "key=lambda pair: pair[0]"),
    Mutation("taken-ones-stay", _PREDICTION, "self.without(without) if without else self", "self"),
    Mutation(
        "nothing-is-close",
        _PREDICTION,
        "_close(tasks, totalpages, page_size, first) if first",
        "[] if first",
    ),
    # which die with it
    Mutation("group-is-ignored", _PREDICTION, "        if not self._groups:", "        if True:"),
    Mutation(
        "group-is-the-lowest",
        _PREDICTION,
        "next(above, None)",
        "max(above, key=len, default=None)",
    ),
    Mutation(
        "group-takes-minus-1000",
        _PREDICTION,
        "if top is not None and task.mortal:",
        "if top is not None:",
    ),
    Mutation(
        "others-may-die",
        _PREDICTION,
        "(more and bool(pids) and killed > frozenset(pids))",
        "(bool(pids) and killed > frozenset(pids))",
    ),
    # what is made of what was seen
    Mutation(
        "others-events-count",
        "oom/attribution.py",
        "if e.kind in OF_THE_CALL and e.invoker_pid == self.trigger]",
        "if e.kind in OF_THE_CALL]",
    ),
    Mutation(
        "sharer-is-a-victim",
        _KILL,
        "return self._new(event, Role.SHARER)",
        "return self._new(event, Role.VICTIM)",
    ),
    Mutation(
        "mark-is-not-heard",
        _KILL,
        "return replace(seen, role=Role.VICTIM) if seen.role == Role.EXITING else seen",
        "return seen",
    ),
    Mutation("log-is-not-told", _KILL, "        logged=True,\n", "        logged=False,\n"),
    Mutation(
        "collateral-is-forgotten",
        _ACCOUNT,
        "frozenset(p for p, one in kills.items() if one.role == Role.SHARER) - members",
        "frozenset()",
    ),
    Mutation(
        "gone-are-forgotten",
        _ACCOUNT,
        "(members - kills.keys() - {*earlier}) & after.ended.keys()",
        "frozenset()",
    ),
    Mutation("limit-kills-one", _ACCOUNT, "more = call.via == Via.LIMIT", "more = False"),
    Mutation(
        "first-of-group-counts-once", _ACCOUNT, " - max(observation.group_kills, len(groups))", ""
    ),
    Mutation(
        "sharers-have-lines",
        _COUNTS,
        "(CountRule.SHARER, -facts.sharers)",
        "(CountRule.SHARER, facts.sharers)",
    ),
    Mutation(
        "repeats-are-kills",
        _COUNTS,
        "(CountRule.REPEATED, facts.repeated)",
        "(CountRule.REPEATED, 0)",
    ),
    Mutation(
        "moments-as-they-came",
        "oom/timeline.py",
        "tuple(sorted(stamps, key=lambda stamp: stamp.at_ns))",
        "tuple(stamps)",
    ),
    # verdicts
    Mutation("any-victim-is-right", _VERDICT, "        if seen.expected:", "        if False:"),
    Mutation(
        "over-kill-is-fine", _VERDICT, "if len(killed) > 1 and seen.via != Via.LIMIT:", "if False:"
    ),
    Mutation("group-of-one", _VERDICT, "if group_kills and len(killed) > 1:", "if group_kills:"),
    Mutation(
        "no-task-is-disabled", _VERDICT, "case 0 if no_killable:", "case 0 if not no_killable:"
    ),
    Mutation(
        "invalid-is-unexpected",
        _VERDICT,
        "value == -errno.EINVAL:\n            return Verdict(\n",
        "value == -errno.E2BIG:\n            return Verdict(\n",
    ),
    Mutation(
        "last-verdict-counts",
        _VERDICT,
        "next((verdict for verdict in verdicts if not verdict.as_wanted), verdicts[-1])",
        "verdicts[-1]",
    ),
    # fates
    Mutation(
        "sigkill-is-no-oom-kill",
        "oom/fate.py",
        "if oom_killed and (unknown or death.signal == signal.SIGKILL):",
        "if oom_killed and unknown:",
    ),
    Mutation(
        "dying-survives",
        "oom/fate.py",
        "FateKind.DYING if oom_killed else",
        "FateKind.SURVIVED if oom_killed else",
    ),
    Mutation(
        "first-call-is-blamed",
        _FATES,
        "return began[-1] if began else None",
        "return began[0] if began else None",
    ),
    Mutation(
        "each-kill-is-of-no-call",
        _FATES,
        "phase = Phase.CALL if pid in killed_in else",
        "phase = Phase.CALL if False else",
    ),
    Mutation(
        "collateral-is-chosen", _FATES, "collateral=pid in collateral\n", "collateral=False\n"
    ),
    # expectations
    Mutation("a-victim-may-live", _EXPECTATION, "not missing, f", "True, f"),
    Mutation("any-may-die", _EXPECTATION, "len(beside) <= others, f", "True, f"),
    Mutation("survivors-may-die", _EXPECTATION, "not wrong, why)", "True, why)"),
    Mutation(
        "unread-counter-passes",
        _EXPECTATION,
        "passed = None if rise is None",
        "passed = True if rise is None",
    ),
    Mutation(
        "a-step-has-no-calls", _EXPECTATION, "if report.step == index]", "if report.step != index]"
    ),
    # fuzz itself
    Mutation(
        "order-10-is-invalid",
        "fuzz/contract.py",
        "return 0 <= call.order <= MAX_ORDER",
        "return 0 <= call.order < MAX_ORDER",
        "fuzz",
    ),
    Mutation(
        "any-return-is-right",
        _ORACLES,
        "if call.result.ret not in returns:",
        "if False:",
        "fuzz",
    ),
    Mutation(
        "group-kills-uncounted",
        _ORACLES,
        'yield from _differ(about, what, events["oom_group_kill"], groups)',
        "pass",
        "fuzz",
    ),
)

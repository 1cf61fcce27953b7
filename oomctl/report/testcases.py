"""What is expected of a declaration by itself, and of many rounds, as tests. Pure."""

from oomctl.oom.as_text import pid_list, returned
from oomctl.oom.enums import VerdictName
from oomctl.oom.outcome import CallReport, Check, Evidence
from oomctl.rounds.round import WITHOUT_OUTCOME
from oomctl.rounds.statistics import CheckTally, Statistics
from oomctl.text import counted


def expectations(declared: CallReport) -> tuple[Check, ...]:
    """Return the tests of one declaration; their names are the same for every one."""
    name = declared.verdict.name
    died = bool(declared.victims)
    return (
        Check("returned 1", declared.result.ret == 1, f"returned {returned(declared.result.ret)}"),
        Check("somebody died", died, declared.verdict.reason),
        Check(
            "only one victim or one group died",
            name != VerdictName.OVER_KILL if died else None,
            declared.verdict.reason if died else "nobody died",
        ),
        _as_predicted(declared),
        _sources_agree(declared.evidence),
    )


def over_rounds(one: Statistics) -> tuple[Check, ...]:
    """Return the tests of many rounds: that each ran, and each expectation over all of them."""
    lacking = "; ".join(
        f"{count} {verdict}: {one.reasons.get(verdict, '')}"
        for verdict, count in one.verdicts.items()
        if verdict in WITHOUT_OUTCOME
    )
    why = lacking or f"{one.ran} of {counted(one.rounds, 'round')}"
    return (
        Check("every round ran", 0 < one.ran == one.rounds, why),
        *(_held(held, one) for held in one.checks),
    )


def _held(held: CheckTally, one: Statistics) -> Check:
    why = f"held in {held.held} of {counted(one.rounds, 'round')}"
    if held.failed:
        return Check(held.name, False, f"{why}; round {held.first}: {held.why}")
    return Check(held.name, True if held.held else None, why)


def _as_predicted(declared: CallReport) -> Check:
    name, prediction = "as predicted", declared.prediction
    if prediction is None or declared.as_predicted is None:
        why = "nothing was predicted" if prediction is None else "nobody was chosen"
        return Check(name, None, why)
    why = f"predicted {pid_list(prediction.victims)}, killed {pid_list(declared.victims)}"
    if not declared.as_predicted and declared.too_close:
        return Check(name, None, f"too close to call: {why}")
    return Check(name, declared.as_predicted, why)


def _sources_agree(evidence: Evidence) -> Check:
    why = f"ring buffer {pid_list(evidence.seen)}, kernel log {pid_list(evidence.logged)}"
    if evidence.agree is None:
        lost = counted(evidence.lost, "event or record was lost", "events or records were lost")
        why = lost if evidence.lost else evidence.no_tracing_reason or f"only the {evidence.source}"
    return Check("sources agree", evidence.agree, why)

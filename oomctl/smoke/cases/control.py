"""The struct oom_control that the kfunc passes on: zeroed but for memcg, gfp_mask and order.

It is read at the entry of out_of_memory(), so the checks do not depend on the text of the log.
"""

from collections.abc import Callable, Iterator

from oomctl.bpf.gate import Passage
from oomctl.oom.outcome import Check
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import LARGE_DIES, PAIR, case, equal
from oomctl.smoke.runner import CaseRun
from oomctl.smoke.spec import CaseSpec, call, spec

_GFP_KERNEL = 0xCC0  # __GFP_RECLAIM | __GFP_IO | __GFP_FS, include/linux/gfp_types.h


def _field(
    name: str, about: str, field: str, wanted: object, value: Callable[[Passage], object]
) -> Case:
    def check(case_run: CaseRun) -> Iterator[Check]:
        values = [value(passage) for passage in case_run.passages_of(0)]
        yield equal(f"{field} at each entry of out_of_memory()", [wanted], values)

    return case(f"control.{name}", about, LARGE_DIES, facts.gate, checks=check)


def _memcg(name: str, about: str, kill: CaseSpec) -> Case:
    def check(case_run: CaseRun) -> Iterator[Check]:
        memcg_ids = [passage.memcg_id for passage in case_run.passages_of(0)]
        yield equal("memcg", [case_run.only_call.cgroup_id], memcg_ids)

    return case(f"control.{name}", about, kill, facts.gate, checks=check)


def _one_entry(case_run: CaseRun) -> Iterator[Check]:
    yield equal("runs through out_of_memory() per call", 1, len(case_run.passages_of(0)))


CASES = (
    case(
        "control.one-run-per-call",
        "a call runs out_of_memory() once",
        LARGE_DIES,
        facts.gate,
        checks=_one_entry,
    ),
    _memcg("memcg-as-given", "the memcg is the one that the caller passed", LARGE_DIES),
    _memcg(
        "child-memcg-as-given",
        "the memcg of a child cgroup is passed on as it is",
        spec(*PAIR, dies=("small",), calls=(call("small"),)),
    ),
    _field(
        "gfp-is-kernel",
        "gfp_mask is GFP_KERNEL: with 0 a system-wide call returns 1 and kills no task",
        "gfp_mask",
        _GFP_KERNEL,
        lambda passage: passage.gfp_mask,
    ),
    _field(
        "no-zonelist",
        "zonelist is NULL, so the constraint is CONSTRAINT_MEMCG or CONSTRAINT_NONE",
        "zonelist",
        0,
        lambda passage: passage.zonelist,
    ),
    _field("no-nodemask", "nodemask is NULL", "nodemask", 0, lambda passage: passage.nodemask),
    _field(
        "totalpages-is-left-to-the-kernel",
        "totalpages is 0 at the entry: the OOM killer computes it",
        "totalpages",
        0,
        lambda passage: passage.totalpages_before,
    ),
)

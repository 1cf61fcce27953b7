"""What the kfunc makes of its arguments for the OOM killer: a zeroed struct oom_control but three.

Seen at the entry of out_of_memory(), so that it does not depend on what the log happens to say.
"""

from collections.abc import Callable, Iterator

from oomctl.bpf.gate import Passage
from oomctl.smoke import facts
from oomctl.smoke.cases.common import PAIR, Case, CaseRun, Check, call, case, equal, spec

_GFP_KERNEL = 0xCC0  # __GFP_RECLAIM | __GFP_IO | __GFP_FS, include/linux/gfp_types.h


def _given(
    name: str, about: str, what: str, wanted: object, of: Callable[[Passage], object]
) -> Case:
    def also(case_run: CaseRun) -> Iterator[Check]:
        found = [of(passage) for passage in case_run.passages_of(0)]
        yield equal(f"{what} at each entry", [wanted], found)

    return case(name, about, spec(*PAIR, dies=("large",)), facts.gate, also=also)


def _memcg(case_run: CaseRun) -> Iterator[Check]:
    target = case_run.outcome.calls[0].cgroup_id
    yield equal("memcg", [target], [passage.memcg_id for passage in case_run.passages_of(0)])


def _one_entry(case_run: CaseRun) -> Iterator[Check]:
    yield equal("runs through out_of_memory() a call", 1, len(case_run.passages_of(0)))


CASES = (
    case(
        "control.one-run-a-call",
        "a call is one run of the OOM killer",
        spec(*PAIR, dies=("large",)),
        facts.gate,
        also=_one_entry,
    ),
    case(
        "control.memcg-as-given",
        "the OOM killer gets the very memcg",
        spec(*PAIR, dies=("large",)),
        facts.gate,
        also=_memcg,
    ),
    case(
        "control.child-memcg-as-given",
        "also where it is a child",
        spec(*PAIR, dies=("small",), calls=(call("small"),)),
        facts.gate,
        also=_memcg,
    ),
    _given(
        "control.gfp-is-kernel",
        "GFP_KERNEL: with 0 an OOM of the whole system kills nobody and says 1",
        "gfp_mask",
        _GFP_KERNEL,
        lambda passage: passage.gfp_mask,
    ),
    _given(
        "control.no-zonelist",
        "no zonelist, so the constraint is that of a memcg or none",
        "zonelist",
        0,
        lambda passage: passage.zonelist,
    ),
    _given("control.no-nodemask", "no nodemask", "nodemask", 0, lambda passage: passage.nodemask),
    _given(
        "control.totalpages-is-left-to-the-kernel",
        "totalpages is computed by the OOM killer",
        "totalpages",
        0,
        lambda passage: passage.totalpages_before,
    ),
)

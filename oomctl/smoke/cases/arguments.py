"""Every order and flag: the valid ones kill, the others are refused without any effect."""

from collections.abc import Iterator

from oomctl.oom.outcome import Check
from oomctl.oom.plan import INT32_MAX, INT32_MIN, UINT64_MAX
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import PAIR, case, equal, refused
from oomctl.smoke.runner import CaseRun, CaseRunner
from oomctl.smoke.spec import call, spec


def _valid(name: str, about: str, order: int, flags: int, *needs: facts.Need) -> Case:
    def order_passed_on(case_run: CaseRun) -> Iterator[Check]:
        orders = [passage.order for passage in case_run.passages_of(0)]
        yield equal("order passed to the OOM killer", [order], orders)

    kill = spec(*PAIR, dies=("large",), calls=(call(order=order, flags=flags),))
    return case(f"arguments.{name}", about, kill, facts.gate, *needs, checks=order_passed_on)


def _invalid(name: str, about: str, order: int = 0, flags: int = 0) -> Case:
    no_kill = spec(PAIR[0], returns="EINVAL", calls=(call(order=order, flags=flags),))
    return case(f"arguments.{name}", about, no_kill, checks=refused)


def _max_order(name: str, about: str, beyond: int) -> Case:
    """Return a case about MAX_PAGE_ORDER, which is known only when the case runs."""

    def run(runner: CaseRunner) -> Iterator[Check]:
        order = runner.facts.max_order + beyond
        yield from (_invalid(name, about, order) if beyond else _valid(name, about, order, 1)).run(
            runner
        )

    return Case(f"arguments.{name}", about, run, (facts.gate,))


_INVALID = (
    ("order-minus-1", "order -1, which marks a sysrq kill in oom_control, is -EINVAL", -1),
    ("order-minus-10", "a negative order is -EINVAL", -10),
    ("order-int-max", "the largest int as order is -EINVAL", INT32_MAX),
    ("order-int-min", "the smallest int as order is -EINVAL", INT32_MIN),
    ("flags-2", "bit 1, the sentinel BPF_OOM_FLAGS_LAST, is -EINVAL", 0, 2),
    ("flags-3", "an invalid bit beside the valid one is -EINVAL", 0, 3),
    ("flags-4", "an unknown bit is -EINVAL", 0, 4),
    ("flags-bit-31", "bit 31 is checked", 0, 1 << 31),
    ("flags-bit-32", "bit 32 is checked: flags has 64 bits", 0, 1 << 32),
    ("flags-bit-32-and-wait", "bit 32 is checked beside the valid bit", 0, 1 << 32 | 1),
    ("flags-bit-63", "bit 63 is checked", 0, 1 << 63),
    ("flags-all-but-wait", "all bits but the valid one are -EINVAL", 0, UINT64_MAX - 1),
    ("flags-all", "all bits together are -EINVAL", 0, UINT64_MAX),
    ("both-wrong", "an invalid order with an invalid flag is -EINVAL", -1, 4),
)

CASES = (
    *(_valid(f"order-{n}", f"a call of order {n} kills", n, 1, facts.order(n)) for n in range(10)),
    _max_order("order-max", "MAX_PAGE_ORDER is valid", 0),
    _max_order("order-max-plus-1", "an order above MAX_PAGE_ORDER is -EINVAL", 1),
    _valid("flags-0", "a call without flags kills", 0, 0),
    _valid("flags-wait", "a call with WAIT_ON_OOM_LOCK, the only flag, kills", 0, 1),
    *(_invalid(*row) for row in _INVALID),
)

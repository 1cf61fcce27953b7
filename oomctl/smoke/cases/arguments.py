"""Every order and flag: valid ones kill, the others are refused and leave no trace."""

from collections.abc import Iterator

from oomctl.smoke import facts
from oomctl.smoke.cases.common import (
    INT32_MAX,
    INT32_MIN,
    PAIR,
    UINT64_MAX,
    Case,
    CaseRun,
    CaseRunner,
    Check,
    call,
    case,
    equal,
    refused,
    spec,
)


def _valid(name: str, about: str, order: int, flags: int, *needs: facts.Need) -> Case:
    def as_given(case_run: CaseRun) -> Iterator[Check]:
        orders = [passage.order for passage in case_run.passages_of(0)]
        yield equal("orders that the OOM killer was given", [order], orders)

    drawn = spec(*PAIR, dies=("large",), calls=(call(order=order, flags=flags),))
    return case(name, about, drawn, facts.gate, *needs, also=as_given)


def _invalid(name: str, about: str, order: int = 0, flags: int = 0) -> Case:
    drawn = spec(PAIR[0], returns="EINVAL", calls=(call(order=order, flags=flags),))
    return case(name, about, drawn, also=refused)


def _of_max(name: str, about: str, beyond: int) -> Case:
    """Return a case about MAX_PAGE_ORDER, which is known only on the machine."""

    def run(runner: CaseRunner) -> Iterator[Check]:
        order = runner.facts.max_order + beyond
        one = _invalid(name, about, order) if beyond else _valid(name, about, order, 1)
        yield from one.run(runner)

    return Case(name, about, run, (facts.gate,))


CASES = (
    *(
        _valid(f"arguments.order-{n}", f"order {n} kills as any other", n, 1, facts.order(n))
        for n in range(10)
    ),
    _of_max("arguments.order-max", "MAX_PAGE_ORDER is valid", 0),
    _of_max("arguments.order-max-plus-1", "an order above MAX_PAGE_ORDER is -EINVAL", 1),
    _invalid("arguments.order-minus-1", "-1, which means sysrq to the OOM killer, is -EINVAL", -1),
    _invalid("arguments.order-minus-10", "a negative order is -EINVAL", -10),
    _invalid("arguments.order-int-max", "the largest int is -EINVAL", INT32_MAX),
    _invalid("arguments.order-int-min", "the smallest int is -EINVAL", INT32_MIN),
    _valid("arguments.flags-0", "without a flag it tries the lock and kills", 0, 0),
    _valid("arguments.flags-wait", "WAIT_ON_OOM_LOCK is the one flag", 0, 1),
    _invalid("arguments.flags-2", "the next bit, a sentinel of the enum, is no flag", flags=2),
    _invalid("arguments.flags-3", "a valid flag does not excuse another", flags=3),
    _invalid("arguments.flags-4", "an unknown bit is -EINVAL", flags=4),
    _invalid("arguments.flags-bit-31", "bit 31 is seen", flags=1 << 31),
    _invalid("arguments.flags-bit-32", "bit 32 is seen: flags has 64 bits", flags=1 << 32),
    _invalid("arguments.flags-bit-32-and-wait", "neither hides the other", flags=1 << 32 | 1),
    _invalid("arguments.flags-bit-63", "bit 63 is seen", flags=1 << 63),
    _invalid("arguments.flags-all-but-wait", "all bits but the valid one", flags=UINT64_MAX - 1),
    _invalid("arguments.flags-all", "all bits", flags=UINT64_MAX),
    _invalid("arguments.both-wrong", "a wrong order with a wrong flag", -1, 4),
)

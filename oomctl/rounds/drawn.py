"""The rounds whose samples of memory a record keeps, so that a page can draw them. Pure."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from oomctl.oom.outcome import Outcome, Sample

SLOWEST, FAILED = 3, 2
"""The rounds of a variant that are drawn: those that took longest, and the first that failed."""
_MOST = 200  # samples of a cgroup


@dataclass
class Drawn:
    """Decides it round by round, so that rounds that were among the slowest once are kept too."""

    _slowest: list[int] = field(default_factory=list)
    _failed: int = 0

    def takes(self, took_ns: int, outcome: Outcome) -> bool:
        """Tell whether the next round is to be drawn."""
        failed = any(check.passed is False for check in outcome.checks)
        self._failed += failed
        heapq.heappush(self._slowest, took_ns)
        is_slow = len(self._slowest) <= SLOWEST or heapq.heappop(self._slowest) < took_ns
        return is_slow or (failed and self._failed <= FAILED)


def thinned(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield what draws the same lines: of equal samples of a cgroup the first and the last."""
    by_cgroup: dict[str, list[Sample]] = {}
    for sample in samples:
        of = by_cgroup.setdefault(sample.cgroup, [])
        if len(of) > 1 and of[-1].bytes == of[-2].bytes == sample.bytes:
            of.pop()
        of.append(sample)
    for of in by_cgroup.values():
        step = -(-len(of) // _MOST)
        yield from of[:-1:step]
        yield of[-1]

"""Measures each way of each row in turn, in shuffled rounds, and compares costs of one round."""

import os
import random
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Way:
    """One program that does what a row measures; `measure` returns a cost: less is better."""

    name: str
    measure: Callable[[], float]


@dataclass(frozen=True)
class Row:
    """What is measured: oomctl first, then its peers.

    The target is either `at_most`, oomctl's cost divided by that of the best peer, or `goal`, a
    cost. `beside` are shown and not compared, such as an older oomctl.
    """

    name: str
    unit: str
    own: Way
    peers: Sequence[Way]
    at_most: float | None = None
    beside: Sequence[Way] = ()
    goal: float | None = None

    @property
    def ways(self) -> Sequence[Way]:
        """All that are measured."""
        return (self.own, *self.peers, *self.beside)


@dataclass(frozen=True)
class Result:
    """The costs of each way of a row, in the order in which they were measured."""

    row: Row
    costs: Mapping[str, list[float]] = field(default_factory=dict)

    def ratio_to(self, way: Way) -> float:
        """Return the median over the rounds of oomctl's cost divided by that of another way."""
        pairs = zip(self.costs[self.row.own.name], self.costs[way.name], strict=True)
        return statistics.median(own / other for own, other in pairs)

    @property
    def best(self) -> Way:
        """The peer that comes out best against oomctl."""
        return max(self.row.peers, key=self.ratio_to)

    @property
    def ratio(self) -> float:
        """Oomctl's cost divided by that of the best peer."""
        return self.ratio_to(self.best)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.row.goal is not None:
            return statistics.median(self.costs[self.row.own.name]) <= self.row.goal
        return None if self.row.at_most is None else self.ratio <= self.row.at_most

    def target_of(self, way: Way) -> float | None:
        """Return the target that stands at a way: a cost at oomctl, a ratio at the best peer."""
        if way is self.row.own:
            return self.row.goal
        return self.row.at_most if way is self.best else None


def run(rows: Sequence[Row], rounds: int, seed: int = 1, warm_up: int = 1) -> list[Result]:
    """Measure every way to warm up, then once in each round, in a new order each time."""
    results = [Result(row, {way.name: [] for way in row.ways}) for row in rows]
    jobs = [(result, way) for result in results for way in result.row.ways]
    shuffle = random.Random(seed).shuffle
    for number in range(1 - warm_up, rounds + 1):
        shuffle(jobs)
        for at, (result, way) in enumerate(jobs, 1):
            if sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[Kround {max(number, 0)} of {rounds}: {at}/{len(jobs)}")
            cost = way.measure()
            if number > 0:
                result.costs[way.name].append(cost)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    return results


def cpu_ms(words: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Run a program to its end; return the CPU time of it and its children, in ms."""
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    pid = os.posix_spawn(words[0], [*words], environment or os.environ, file_actions=null)
    return _reap(pid, 0, words[0])


def cpu_ms_of(work: Callable[[], None]) -> float:
    """Do some work in a forked process; return the CPU time of it and its children, in ms."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return _reap(pid, 0, "the forked process")


def killed_ms(pid: int) -> float:
    """Kill a child; return the CPU time that it had, with its exit, in ms."""
    os.kill(pid, signal.SIGKILL)
    return _reap(pid, -signal.SIGKILL, f"process {pid}")


def _reap(pid: int, expected: int, name: str) -> float:
    _pid, status, usage = os.wait4(pid, 0)
    if (code := os.waitstatus_to_exitcode(status)) != expected:
        raise RuntimeError(f"{name} ended with {code}")
    return (usage.ru_utime + usage.ru_stime) * 1000

"""The hunt for disagreements: cases that promise what is rare, each finding confirmed and shrunk.

Pure: what runs a case is given, and may be a kernel or the model itself.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from oomctl.fuzz.case import Case
from oomctl.fuzz.coverage import Coverage, Exercised, exercised
from oomctl.fuzz.finding import Expected, Finding, expected_of
from oomctl.fuzz.generator import random_case
from oomctl.fuzz.oracles import Disagreement, Judged
from oomctl.fuzz.shrink import Shrinker
from oomctl.fuzz.weights import Weights
from oomctl.oom.enums import Agreement, Oracle

DRAWS = 8
"""Cases that are drawn for a round; the one that promises the rarest is run."""
CONFIRM = 5
"""How often a finding is tried again."""
BUDGET = 120
"""Tries to shrink one finding."""
_AGAIN = 3
"""How often a shrunk case is tried if the finding is not seen every time."""
MOST_FINDINGS = 10
"""After so many, by default, a run ends: a kernel or oomctl is broken, and these say how."""


@dataclass(frozen=True)
class Trial:
    """One experiment: what disagrees, what was exercised, and what the model expects."""

    agreement: Agreement
    disagreements: tuple[Disagreement, ...] = ()
    exercised: frozenset[Exercised] = frozenset()
    expected: tuple[Expected, ...] = ()

    @property
    def oracles(self) -> frozenset[Oracle]:
        """The oracles that disagree."""
        return frozenset(each.oracle for each in self.disagreements)


def trial_of(judged: Judged, more: tuple[Disagreement, ...] = ()) -> Trial:
    """Return the trial of an outcome; `more` is what the machine itself showed."""
    found = (*judged.disagreements, *more)
    agreement = Agreement.DIFFERS if found else judged.agreement
    return Trial(agreement, found, frozenset(exercised(judged)), expected_of(judged))


@dataclass
class Hunt:
    """Runs cases of one seed; `run` carries one out, given what to call it.

    `known` has the forms of findings that are not reported again. `differs` is told
    of a case that is going to be confirmed and shrunk, `found` of each new finding.
    `experiments` counts all, `agreements` only the rounds, without the tries to confirm and shrink.
    """

    run: Callable[[Case, str], Trial]
    seed: int
    weights: Weights
    kernel: str
    known: frozenset[str] = frozenset()
    differs: Callable[[str, Trial], object] | None = None
    found: Callable[[Finding], object] | None = None
    budget: int = BUDGET
    most_findings: int = MOST_FINDINGS
    coverage: Coverage = field(default_factory=Coverage)
    agreements: Counter[Agreement] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)
    experiments: int = 0

    @property
    def is_over(self) -> bool:
        """Whether so many findings were seen again that more would tell nothing new."""
        return sum(each.seen > 0 for each in self.findings) >= self.most_findings

    def round(self, number: int) -> None:
        """Run one case; confirm and shrink what it finds."""
        cases = [self.case(number, draw) for draw in range(DRAWS)]
        draw = self.coverage.choose(cases)
        origin = f"{self.seed}:{number}.{draw}"
        trial = self._try(cases[draw], origin)
        self.agreements[trial.agreement] += 1
        self.coverage.add(trial.exercised)
        if trial.agreement is Agreement.DIFFERS:
            if self.differs:
                self.differs(origin, trial)
            self._pursue(cases[draw], trial, origin)

    def case(self, number: int, draw: int) -> Case:
        """Return a case: the same for the same seed, number and draw."""
        dice = random.Random(f"{self.seed}:{number}.{draw}")  # noqa: S311
        return random_case(dice, self.weights)

    def _try(self, case: Case, origin: str) -> Trial:
        self.experiments += 1
        return self.run(case, origin)

    def _pursue(self, case: Case, first: Trial, origin: str) -> None:
        """Confirm and shrink a finding; what ends oomctl meanwhile keeps what is found by then."""
        pursuit = _Pursuit(case, first, lambda case: self._try(case, origin))
        try:
            pursuit.run(self.budget)
        finally:
            self._keep(pursuit, origin)

    def _keep(self, pursuit: "_Pursuit", origin: str) -> None:
        last = pursuit.last
        finding = Finding(
            *(pursuit.case, origin, last.disagreements, last.expected),
            *(pursuit.seen, pursuit.tried, pursuit.is_shrunk, self.kernel),
        )
        known = {*self.known, *(each.form for each in self.findings)}
        if finding.form in known:
            self.repeated[finding.form] += 1
            return
        self.findings.append(finding)
        if self.found:
            self.found(finding)


@dataclass
class _Pursuit:
    """One finding on its way: the smallest case so far, and how often it was seen again."""

    case: Case
    last: Trial
    attempt: Callable[[Case], Trial]
    seen: int = 0
    tried: int = 0
    is_shrunk: bool = False

    def run(self, budget: int) -> None:
        self._confirm()
        if not self.seen:
            return
        tries = 1 if self.seen == self.tried else _AGAIN
        oracles = self.last.oracles
        shrinker = Shrinker(self.case, lambda case: self._differs(case, oracles, tries), budget)
        shrinker.run()
        self._confirm()

    def _confirm(self) -> None:
        oracles, self.seen, self.tried = self.last.oracles, 0, 0
        for _ in range(CONFIRM):
            self.tried += 1
            trial = self.attempt(self.case)
            if trial.oracles & oracles:
                self.seen += 1
                self.last = trial

    def _differs(self, case: Case, oracles: frozenset[Oracle], tries: int) -> bool:
        for _ in range(tries):
            trial = self.attempt(case)
            if trial.oracles & oracles:
                self.case, self.last, self.is_shrunk = case, trial, True
                self.seen = self.tried = 0
                return True
        return False

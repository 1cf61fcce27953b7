"""The hunt against a kernel that is the model, and against models that have a fault."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from oomctl.fuzz.case import Case
from oomctl.fuzz.hunt import MOST_FINDINGS, Hunt
from oomctl.fuzz.weights import SAYABLE
from oomctl.oom.enums import Agreement, Oracle
from oomctl.oom.plan import Call, Hog, Step
from oomctl.oom.prediction import predict
from tests.unit.fuzz.fake_kernel import FakeKernel

M = 1 << 20


def changed(tasks=lambda given: given.tasks, pages=lambda given: given.totalpages, groups=None):
    """Return a model whose input is changed by one line."""

    def model(given):
        found = given.groups if groups is None else groups(given)
        said = predict(tasks(given), pages(given), given.page_size, found)
        return replace(said, instead=())

    return model


FAULTS = {
    "ties go to the first": changed(tasks=lambda given: [*given.tasks][::-1]),
    "swap is ignored": changed(tasks=lambda given: [replace(t, swap=0) for t in given.tasks]),
    "a point of adj weighs double": changed(pages=lambda given: given.totalpages * 2),
    "adj is ignored": changed(
        tasks=lambda given: [
            replace(t, oom_score_adj=max(t.oom_score_adj, -1000) if t.oom_score_adj == -1000 else 0)
            for t in given.tasks
        ]
    ),
    "adj -1000 is eligible": changed(
        tasks=lambda given: [
            replace(t, oom_score_adj=max(t.oom_score_adj, -999)) for t in given.tasks
        ]
    ),
    "page tables are ignored and rss halved": changed(
        tasks=lambda given: [
            replace(t, rss=t.rss // 2 // 4096 * 4096, pgtables=0) for t in given.tasks
        ]
    ),
    "the group is the lowest, not the highest": changed(
        groups=lambda given: {
            g for g in given.groups if not any(o.startswith(f"{g}/") for o in given.groups)
        }
    ),
    "memory.oom.group is ignored": changed(groups=lambda given: set()),
}


def hunt(model=None, seed=1, weights=SAYABLE, **more):
    kernel = FakeKernel(model) if model else FakeKernel()
    return Hunt(kernel, seed, weights, "6.12", **more)


def hunted(rounds=300, **given):
    made = hunt(**given)
    for number in range(1, rounds + 1):
        made.round(number)
        if made.findings:
            break
    return made


@pytest.mark.parametrize("seed", range(3))
def test_a_kernel_that_is_the_model_agrees(seed):
    made = hunted(seed=seed, weights=replace(SAYABLE, swap=0.3))
    assert made.findings == []
    assert set(made.agreements) == {Agreement.AGREED}
    assert made.experiments == 300


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_model_is_found_and_shrunk(fault):
    made = hunted(model=FAULTS[fault], weights=replace(SAYABLE, swap=0.3))
    (finding,) = made.findings
    assert len(finding.case.hogs) <= 3
    assert Oracle.VICTIMS in finding.oracles
    assert finding.seen == finding.tried
    assert finding.case.is_sound


def test_with_one_seed_the_same_is_found():
    first, again = (hunted(model=FAULTS["ties go to the first"]) for _ in range(2))
    assert first.findings == again.findings
    assert first.experiments == again.experiments


def test_a_finding_that_is_known_is_counted_only():
    model = FAULTS["memory.oom.group is ignored"]
    (finding,) = hunted(model=model).findings
    later = hunt(model, known=frozenset({finding.form}))
    for number in range(1, 40):
        later.round(number)
    assert later.repeated[finding.form]
    assert finding.form not in [each.form for each in later.findings]


def test_it_is_over_after_many_findings():
    made = hunt()
    assert not made.is_over
    made.findings = [SimpleNamespace(seen=3)] * MOST_FINDINGS
    assert made.is_over
    made.findings[0] = SimpleNamespace(seen=0)
    assert not made.is_over
    made.findings.append(SimpleNamespace(seen=1))
    assert made.is_over
    made.most_findings += 1
    assert not made.is_over


TIE = Case(
    hogs=tuple(
        Hog(f"hog{n}", 2 * M, cgroup=place, entry=f"hog{n}") for n, place in enumerate("ab")
    ),
    files={".": {"memory.swap.max": "0"}, "a": {}, "b": {}},
    steps=(Step(Call(".", 0, 1)),),
)


class Flaky(FakeKernel):
    """Its model is wrong at first, and then once in so many runs."""

    def __init__(self, every):
        super().__init__()
        self.every = every
        self.right, self.wrong = self.model, FAULTS["ties go to the first"]

    def __call__(self, case, origin):
        self.model = self.right if self.runs % self.every else self.wrong
        return super().__call__(case, origin)


def test_what_was_seen_once_and_never_again_is_reported_as_that():
    made = Hunt(Flaky(1000), 1, SAYABLE, "6.12")
    made.case = lambda number, draw: TIE
    made.round(1)
    (finding,) = made.findings
    assert finding.rate == "confirmed 0 of 5 times"
    assert "case 1:1.0, not shrunk: 2 hogs" in finding.text()
    assert finding.case == TIE


def test_what_is_seen_at_times_is_shrunk_too():
    made = Hunt(Flaky(2), 1, SAYABLE, "6.12")
    extra = Hog("more", M, cgroup="b", entry="more")
    made.case = lambda number, draw: replace(TIE, hogs=(*TIE.hogs, extra))
    made.round(1)
    (finding,) = made.findings
    assert len(finding.case.hogs) == 2
    assert 0 < finding.seen < finding.tried


def test_what_is_found_by_then_is_kept_when_a_signal_ends_it():
    class Ended(FakeKernel):
        def __call__(self, case, origin):
            if self.runs == 10:
                raise KeyboardInterrupt
            return super().__call__(case, origin)

    kept = []
    made = Hunt(Ended(FAULTS["ties go to the first"]), 1, SAYABLE, "6.12", found=kept.append)
    made.case = lambda number, draw: TIE
    with pytest.raises(KeyboardInterrupt):
        made.round(1)
    assert kept == made.findings
    assert len(kept) == 1

"""Why a task was chosen: the numbers, and the sentence made of them."""

from dataclasses import replace

import pytest

from oomctl.describe.reason_text import reason_rows
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.enums import Basis
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport
from oomctl.oom.plan import Call
from oomctl.oom.prediction import predict
from oomctl.oom.reason import MOST_REASONS, reason, reason_of_kill, reasons
from oomctl.oom.task import Task
from oomctl.oom.verdict import Verdict
from oomctl.oom.why import why

PAGE = 4096
MAX = (2**63 - 1) // PAGE
NAMES = {2: "app", 3: "sidecar", 4: "cache"}


def task(pid, pages=0, adj=0, cgroup="/t", *, swap=0, ptes=0, **more):
    sizes = (size * PAGE for size in (pages, swap, ptes))
    return Task(pid, NAMES.get(pid, f"t{pid}"), cgroup, adj, *sizes, 0.0, **more)


def guess(*tasks, totalpages=65_536, groups=()):
    return predict(tasks, totalpages, PAGE, frozenset(groups))


def kill(pid, at=0, comm="late", **more):
    return OomKill(at, pid, comm, "victim", 0, **more)


def said(*tasks, pid=None, **more):
    return why(reason(guess(*tasks, **more), pid))


APP, SIDECAR = task(2, 51_300, ptes=12), task(3, 2_500, 1000, swap=50, ptes=10)


def test_the_numbers():
    found = reason(guess(APP, SIDECAR, task(4, 1, -1000)))
    assert (found.pid, found.comm, found.basis, found.taken) == (3, "sidecar", "badness", False)
    assert (found.score.rss, found.score.swap, found.score.pgtables) == (2_500, 50, 10)
    assert (found.score.adj, found.score.adj_pages, found.score.badness) == (1000, 65_000, 67_560)
    assert (found.rank, found.eligible, found.weight) == (1, 2, 65)
    assert (found.rival.pid, found.rival.badness, found.margin) == (2, 51_312, 16_248)
    assert (found.within_error, found.group, found.dying) == (None, None, (3,))
    assert found.passed_over == (("adj -1000", 1),)


def test_the_lines():
    assert list(reason_rows(reason(guess(APP, SIDECAR)))) == [
        (
            "why",
            "sidecar: 2,560 pages + 1000 x 65 for oom_score_adj = 67,560; next app: 51,312",
        ),
        (
            "badness",
            "rss 2,500 + swap 50 + page tables 10 + adj 65,000 = 67,560 pages; rank 1 of 2; "
            "16,248 pages (63.5M) above app",
        ),
    ]


@pytest.mark.parametrize(
    ("tasks", "more", "sentence"),
    [
        ([task(2, 9)], {}, "app: 9 pages; the only candidate"),
        ([task(2, 1)], {}, "app: 1 page; the only candidate"),
        (
            [task(2, 9), task(3, 9)],
            {},
            "sidecar: 9 pages; app has the same, and of equals the last in scan order is chosen",
        ),
        (
            [task(2, 900, -10), task(3, 9)],
            {},
            "app: 900 pages - 10 x 65 for oom_score_adj = 250; next sidecar: 9",
        ),
        (
            [task(2, 90), task(3, 9, 1000)],
            {"totalpages": 999},
            "app: 90 pages; next sidecar: 9; oom_score_adj weighs nothing below 1,000 pages of "
            "limit",
        ),
        ([task(2, 90), task(3, 9)], {"totalpages": 999}, "app: 90 pages; next sidecar: 9"),
        (
            [task(2, 90), task(3, 9, 1)],
            {"totalpages": MAX},
            "sidecar: oom_score_adj 1, next app: 0; without a limit a point weighs "
            "2,251,799,813,685 pages, more than any candidate holds",
        ),
        (
            [task(2, 50), task(3, 9, 1)],
            {},
            "sidecar: oom_score_adj 1, next app: 0; a point weighs 65 pages, more than any "
            "candidate holds",
        ),
        # the same points on both sides: sizes decide
        ([task(2, 50, 0), task(3, 9, 0)], {"totalpages": MAX}, "app: 50 pages; next sidecar: 9"),
        ([], {}, "there is no task"),
        (
            [task(2, 9, -1000), task(3, 9, -1000), *(task(p, has_mm=False) for p in (4, 5))],
            {},
            "no task is eligible: 2 tasks with oom_score_adj -1000, 2 no mm",
        ),
        ([task(2, 9), task(5, 3)], {"pid": 5}, "t5: 3 pages, rank 2 of 2; first app: 9, 6 more"),
        (
            [task(2, 9), task(3, 9)],
            {"pid": 2},
            "app: 9 pages, rank 2 of 2; sidecar has the same, and of equals the last in scan "
            "order is chosen",
        ),
        (
            [task(2, 90), task(3, 9, 1)],
            {"totalpages": MAX, "pid": 2},
            "app: oom_score_adj 0, rank 2 of 2, first sidecar: 1; without a limit a point weighs "
            "2,251,799,813,685 pages, more than any candidate holds",
        ),
        (
            [task(2, 9), task(4, 90, -1000)],
            {"pid": 4},
            "cache is not eligible: adj -1000; by badness app is the first: 9 pages",
        ),
    ],
)
def test_the_sentence(tasks, more, sentence):
    assert said(*tasks, **more) == sentence


def test_tasks_of_one_name_are_told_apart():
    twins = [replace(task(pid, pid), comm="twin") for pid in (7, 8)]
    assert said(*twins) == "twin (pid 8): 8 pages; next twin (pid 7): 7"


def test_a_group_with_members_that_are_spared():
    spared = [task(pid, 1, -1000, "/t/g/in") for pid in range(20, 27)]
    found = reason(guess(task(2, 9, cgroup="/t/g"), task(3, 5), *spared, groups=["/t/g"]))
    assert (found.group, found.dying) == ("/t/g", (2,))
    assert found.spared == tuple((pid, f"t{pid}") for pid in range(20, 27))
    assert dict(reason_rows(found))["group"] == (
        "memory.oom.group of /t/g takes 1 task, but not t20 (pid 20), t21 (pid 21), t22 (pid 22), "
        "t23 (pid 23), t24 (pid 24) and 2 more with oom_score_adj -1000"
    )


@pytest.mark.parametrize(
    ("slack", "within", "end"),
    [(0, False, "more than the error of the kernel's counters"), (7, True, "too close to call")],
)
def test_the_kernel_chose_another_one(slack, within, end):
    guessed = guess(task(2, 9), task(5, 3, slack=slack * PAGE))
    found = reason_of_kill(guessed, kill(5))
    assert (found.taken, found.within_error, found.margin) == (True, within, -6)
    assert why(found) == f"t5: 3 pages, rank 2 of 2; first app: 9, 6 more; {end}"


def test_the_task_that_asked_for_memory():
    guessed = guess(task(2, 9), task(5, 3))
    found = reason_of_kill(guessed, kill(5, allocating=True))
    assert (found.basis, found.within_error) == (Basis.ALLOCATING_TASK, None)
    asked = "it asked for memory, and vm.oom_kill_allocating_task is set; by badness"
    assert why(found) == f"t5: {asked} app is the first: 9 pages"
    found = reason_of_kill(guessed, kill(2, allocating=True))
    assert why(found) == f"app: {asked} it is the first too"


def test_a_task_that_was_started_later():
    found = reason_of_kill(guess(task(2, 9), task(4, 1)), kill(9))
    assert (found.basis, found.score, found.rank) == (Basis.UNKNOWN_TASK, None, None)
    assert (found.rival.pid, found.dying) == (2, ())
    text = "late was started after the candidates were read; by badness app is the first: 9 pages"
    assert why(found) == text


@pytest.mark.parametrize(
    ("cgroup", "basis"),
    [("/b", Basis.OUTSIDE_TARGET), ("/t/in", Basis.UNKNOWN_TASK), (None, Basis.UNKNOWN_TASK)],
)
def test_a_task_outside_the_target_was_no_candidate(cgroup, basis):
    taken = replace(kill(9), cgroup=cgroup)
    (found,) = reasons(call(taken, prediction=guess(task(2, 9), task(4, 1))))
    assert found.basis is basis
    if cgroup == "/b":
        text = "late is outside the target, so it was no candidate; by badness app is the first"
        assert why(found) == f"{text}: 9 pages"


def test_nothing_is_known_but_a_task_that_was_started_later():
    found = reason_of_kill(guess(task(4, 1, -1000)), kill(9))
    assert why(found) == "late was started after the candidates were read"


def call(*kills, prediction=None, verdict="killed", **more):
    answer = CallResult(Stage.CALLED, 1, 2, 1)
    asked = Call("/t", 0, 0, more.pop("via", "bpf"))
    return CallReport(asked, 1, answer, kills, Verdict(verdict, ""), prediction=prediction, **more)


def test_each_choice_of_a_limit_has_its_reason():
    guessed = guess(task(2, 9), task(3, 7), task(4, 5), task(5, 3))
    found = reasons(call(kill(3, 20), kill(2, 10), via="limit", prediction=guessed))
    assert [(each.pid, each.rank, each.rival.pid) for each in found] == [(2, 1, 3), (3, 1, 4)]


def test_a_group_is_one_choice_and_the_best_of_it_was_chosen():
    guessed = guess(task(2, 5, cgroup="/t/g"), task(3, 9, cgroup="/t/g"), task(4, 7), groups=["/t"])
    (found,) = reasons(call(kill(2), kill(3), kill(4), prediction=guessed))
    assert (found.pid, found.rival.pid, found.dying) == (3, 4, (2, 3, 4))


def test_what_shares_the_memory_of_a_victim_is_no_candidate_of_the_next_choice():
    tasks = task(2, 9), task(3, 9, cgroup="/u", shares=2), task(4, 5)
    killed = call(
        kill(3, 1),
        kill(2, 1),
        kill(4, 2),
        via="limit",
        prediction=guess(*tasks),
        collateral=frozenset({2}),
    )
    assert [(each.pid, each.eligible) for each in reasons(killed)] == [(3, 3), (4, 1)]


def test_a_limit_that_kills_hundreds_explains_the_first_choices():
    tasks = [task(pid, 1000 - pid) for pid in range(2, 300)]
    kills = [kill(each.pid, each.pid) for each in tasks]
    found = reasons(call(*kills, via="limit", prediction=guess(*tasks)))
    assert [each.pid for each in found] == list(range(2, 2 + MOST_REASONS))


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (call(), 0),
        (call(prediction=guess(task(2, 9)), verdict="busy"), 0),
        (call(prediction=guess(task(2, 9, -1000)), verdict="no-killable-task"), 1),
        (call(prediction=guess(task(2, 9)), verdict="no-killable-task"), 0),
        (call(kill(2), prediction=guess(task(2, 9)), via="kill"), 0),
    ],
)
def test_calls_without_a_choice(made, count):
    assert len(reasons(made)) == count

"""A finding's file says all of its case; its form knows it again."""

import random
from dataclasses import replace
from typing import get_args

import pytest

from oomctl.errors import OomctlError, UsageError
from oomctl.fuzz.case import Case
from oomctl.fuzz.finding import Expected, Finding, known_forms
from oomctl.fuzz.folder import Folder
from oomctl.fuzz.generator import random_case
from oomctl.fuzz.oracles import Disagreement
from oomctl.fuzz.weights import SAYABLE, SWITCHES, most_memory
from oomctl.oom.enums import Do, Occasion, Oracle, Via
from oomctl.oom.plan import Call, CallExpect, Hog, HogKind, Step
from oomctl.scenario.planning import Site
from tests.scenarios import Files

M = 1 << 20
SITE = Site(lambda: "t", 8192 * M)
WEIGHTS = replace(SAYABLE, swap=0.25, kinds=get_args(HogKind), switches=SWITCHES)
SEEN = (Disagreement(Oracle.VICTIMS, "predicted ['hog1 (7)'], died ['hog0 (6)']\x1b[31m"),)


def finding(case, disagreements=SEEN):
    expected = tuple(Expected(1, ()) for _ in case.steps)
    return Finding(case, "7:12.3", disagreements, expected, 4, 5, True, "6.12.95")


def unjudged(plan):
    """Return a plan without its expectations, and the settings of each cgroup in one order."""
    steps = tuple(replace(step, expect=CallExpect()) for step in plan.steps)
    return replace(plan, steps=steps, settings=tuple(sorted(plan.settings, key=repr)))


@pytest.mark.parametrize("number", range(150))
def test_its_file_has_the_plan_of_its_case(number, tmp_path):
    case = random_case(random.Random(number), WEIGHTS)
    planned = Files(tmp_path).plan(finding(case).text(), site=SITE)
    assert unjudged(planned) == unjudged(case.plan("/t"))


@pytest.mark.parametrize("number", range(150))
def test_a_random_case_is_sound_and_bounded(number):
    assert random_case(random.Random(number), WEIGHTS).is_sound
    case = random_case(random.Random(number), SAYABLE)
    assert case.is_sound
    filled = sum(hog.size * (hog.tasks + 1 if hog.kind == "forker" else 1) for hog in case.hogs)
    assert filled <= most_memory(SAYABLE) < 64 * M
    assert not case.sysctls
    assert all(step.call.target for step in case.steps)
    assert not {Do.SYSCTL, Do.SYSFS} & {action.do for action in case.actions}


def test_a_random_case_has_everything_at_times():
    cases = [random_case(random.Random(number), WEIGHTS) for number in range(300)]
    files = {file for case in cases for each in case.files.values() for file in each}
    assert files >= {"memory.min", "memory.low", "memory.max", "memory.oom.group"}
    calls = [step.call for case in cases for step in case.steps]
    assert {call.via for call in calls} == {Via.BPF, Via.LIMIT, Via.RECLAIM, Via.KILL}
    assert {*range(11)} < {call.order for call in calls}
    assert {0, 1, 2} <= {call.flags for call in calls}
    assert max(len(case.steps) for case in cases) == 3
    assert {hog.kind for case in cases for hog in case.hogs} == {*get_args(HogKind)}
    leaderless = [case for case in cases if any(hog.leader_exits for hog in case.hogs)]
    assert {hog.kind for case in leaderless for hog in case.hogs if hog.leader_exits} == {"threads"}
    assert Via.KILL not in {step.call.via for case in leaderless for step in case.steps}
    actions = [action for case in cases for action in case.actions]
    assert {action.do for action in actions} == {*Do}
    assert {(a.do, a.after.occasion) for a in actions} >= {
        *((Do.START, when) for when in (Occasion.FILLED, Occasion.RETURNED)),
        *((Do.CONTINUE, when) for when in (Occasion.FILLED, Occasion.RETURNED)),
        *((Do.SYSFS, when) for when in (Occasion.FILLED, Occasion.RETURNED)),
        (Do.WRITE, Occasion.MARKED),
    }
    delayed = [action for action in actions if action.after.delay]
    assert {action.do for action in delayed} == {Do.CONTINUE, Do.SYSFS, Do.SYSCTL}
    assert not any(action.may_turn_choice for action in delayed)


TIE = Case(
    hogs=(Hog("hog3", 2 * M, cgroup="a", entry="hog3"), Hog("hog5", 2 * M, 7, "b", entry="hog5")),
    files={".": {"memory.swap.max": "0"}, "a": {"memory.oom.group": "1"}, "b": {}},
    steps=(Step(Call(".", -1, 2)), Step(Call("a", 0, 1))),
)


def test_its_file_has_both_sides_words_and_no_escapes():
    expected = (Expected(-22, ()), Expected(1, ("hog3",)))
    text = replace(finding(TIE), expected=expected).text()
    assert "case 7:12.3, shrunk to 2 hogs in 3 cgroups" in text
    assert "Kernel 6.12.95; confirmed 4 of 5 times." in text
    assert "predicted ['hog1 (7)'], died ['hog0 (6)']" in text
    assert "\x1b" not in text
    assert 'expect.returns = "EINVAL"\nexpect.victims = []' in text
    assert 'expect.returns = 1\nexpect.victims = ["hog3"]' in text


def test_names_and_amounts_do_not_make_another_form():
    other = Case(
        hogs=(replace(TIE.hogs[0], name="x", size=M, cgroup="c"),
              replace(TIE.hogs[1], size=M, oom_score_adj=99, cgroup="d")),
        files={".": {"memory.swap.max": "0"}, "c": {"memory.oom.group": "1"}, "d": {}},
        steps=(Step(Call(".", 64, 2)), Step(Call("c", 3, 0))),
    )  # fmt: skip
    assert finding(other).form == finding(TIE).form


@pytest.mark.parametrize(
    "other",
    [
        replace(TIE, hogs=TIE.hogs[:1]),
        replace(TIE, hogs=(TIE.hogs[0], replace(TIE.hogs[1], size=M))),
        replace(TIE, hogs=(TIE.hogs[0], replace(TIE.hogs[1], oom_score_adj=-7))),
        replace(TIE, hogs=(TIE.hogs[0], replace(TIE.hogs[1], kind="shmem"))),
        replace(TIE, hogs=(TIE.hogs[0], replace(TIE.hogs[1], kind="threads", leader_exits=True))),
        replace(TIE, files={".": {}, "a": {}, "b": {}}),
        replace(TIE, steps=TIE.steps[1:]),
    ],
)
def test_what_matters_makes_another_form(other):
    assert finding(other).form != finding(TIE).form


def test_other_oracles_make_another_form():
    other = (Disagreement(Oracle.CONSOLE, "warn: WARNING: CPU: 0"),)
    assert finding(TIE, other).form != finding(TIE).form


def test_a_folder_keeps_findings_and_knows_them(tmp_path, capsys):
    made = finding(TIE)
    with Folder(tmp_path / "new") as folder:
        assert folder.known == frozenset()
        folder.keep(made)
    with Folder(tmp_path / "new") as folder:
        assert folder.known == {made.form} == known_forms([made.file_name, "other"])
        with pytest.raises(OomctlError, match="File exists"):
            folder.keep(made)
    assert (tmp_path / "new" / made.file_name).read_text() == made.text()
    assert "confirmed 4 of 5 times, victims" in capsys.readouterr().err


def test_a_folder_without_a_finding_is_not_left(tmp_path):
    with Folder(tmp_path / "new"):
        pass
    (tmp_path / "old").mkdir()
    with Folder(tmp_path / "old"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "it has other things than findings, such as 'other'"),
        ("other", "File exists"),
        ("no/such", "No such file or directory"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(tmp_path, name, why):
    (tmp_path / "other").write_text("")
    with pytest.raises(UsageError, match=why), Folder(tmp_path / name):
        pass

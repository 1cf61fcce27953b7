import tomllib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.subtree import CgroupState
from oomctl.scenario.fault import Origin
from oomctl.scenario.loader import checked
from oomctl.scenario.planning import plan
from oomctl.scenario.rebuild import rebuild
from oomctl.scenario.scaling import scaled
from tests.scenarios import SITE
from tests.subtrees import G, K, M, member, subtree, subtrees

SCALES = [Fraction(1), Fraction(1, 3), Fraction(1, 64), Fraction(1, 4096)]


def _memory(task):
    return task.shares or task.pid


def written(of, **more):
    """Rebuild a subtree, and load the scenario as any other."""
    made = rebuild(of, source="A test", **more)
    raw = tomllib.loads(made.text)
    checked(tomllib.loads(made.text), "it", made.text, Origin())
    return made, raw


@given(subtrees(), st.sampled_from(SCALES))
def test_whatever_the_subtree_the_scenario_is_sound_and_has_the_same_victim(of, scale):
    made, raw = written(of, scale=scale)
    assert made.text.isprintable() or all(line.isprintable() for line in made.text.split("\n"))
    result = scaled(of, scale)
    assert bool(result.before.victims) == bool(result.after.victims)
    if result.before.victims:
        chosen, first = (one.candidates[0].task for one in (result.before, result.after))
        assert _memory(first) == _memory(chosen)
        assert raw["expect"]["victims"][0] == made.victim
    else:
        assert raw["expect"]["victims"] == []


@given(subtrees(), st.sampled_from(SCALES), st.data())
def test_the_task_that_died_is_made_the_first(of, scale, data):
    mortal = [each.task for each in of.tasks if each.task.killable]
    if not mortal:
        return
    task = data.draw(st.sampled_from(mortal))
    died = task.pid
    made, _raw = written(of, scale=scale, victim=died)
    result = scaled(of, scale, died)
    first = result.after.candidates[0].task
    if of.top.max is None and _memory(first) != _memory(task):  # no size makes up for adj
        dying = {_memory(each.task) for each in of.tasks if each.task.pid in result.after.victims}
        assert _memory(task) in dying or "would not be chosen, which died" in made.text
    else:
        assert _memory(first) == _memory(task)


def test_at_scale_1_nothing_that_fits_is_changed():
    of = subtree(
        member(7, 64 * M, 0, "/a", "large"),
        member(8, 16 * M, 300, "/b", "small"),
        cgroups=[CgroupState("/a", max=128 * M, oom_group=True), CgroupState("/b", low=8 * M)],
        max=512 * M,
    )
    made, raw = written(of)
    assert raw["cgroup"] == {
        ".": {"memory": {"max": "512M"}},
        "a": {"memory": {"max": "128M", "oom": {"group": True}}},
        "b": {"memory": {"low": "8M"}},
    }
    assert raw["hog"]["small"]["oom_score_adj"] == 300
    assert raw["expect"] == {"victims": ["small"]}
    assert made.notes == ()


def test_adj_weighs_as_much_at_any_scale():
    """The order hangs on the limit: 400 points of 4G are 1.6G."""
    of = subtree(member(7, G, 0), member(8, 100 * M, 400), member(9, 800 * M, 100), max=4 * G)
    assert [each.task.pid for each in of.predict().candidates] == [8, 9, 7]
    for scale in SCALES[:3]:
        result = scaled(of, scale)
        assert [each.task.pid for each in result.after.candidates] == [8, 9, 7]
        assert result.out_of_order == 0


def test_what_does_not_fit_below_the_limit_raises_it_and_lowers_adj():
    """Tasks that share memory have more RSS together than their cgroup is charged."""
    backends = [member(pid, 2 * M, 0, shmem=100 * M) for pid in range(10, 20)]
    of = subtree(*backends, member(9, 20 * M, 500), max=256 * M)
    result = scaled(of, Fraction(1))
    assert result.cgroups[0].max > 1020 * M
    assert result.tasks[-1].oom_score_adj < 250
    assert result.after.victims == (9,)
    made, _raw = written(of)
    assert "so that all hogs fit below it; oom_score_adj is" in made.text


def test_tasks_below_the_smallest_hog_lose_their_order_and_the_file_says_so():
    of = subtree(
        member(7, 64 * M), *(member(8 + n, (9 - n) * 8 * K) for n in range(4)), max=256 * M
    )
    made, _raw = written(of, scale=Fraction(1, 64))
    assert made.victim == "task7"
    assert any("order of badness is not kept" in note for note in made.notes)
    assert "# - the order of badness is not kept" in made.text


def test_names_that_a_scenario_cannot_hold():
    paths = ["/memory.x", "/memory.x/\udcff", "/\x1b[31m", "/tasks", "/tasks/inner"]
    of = subtree(
        member(2, 8 * M, 0, "/memory.x/\udcff", "a b"),
        member(3, M, 0, "/tasks", "a b"),
        member(4, M, 0, "/", "\x1b"),
        cgroups=[CgroupState(path) for path in paths],
        max=64 * M,
    )
    made, raw = written(of)
    assert set(raw["cgroup"]) == {
        *(".", "cgroup", "cgroup/cgroup-2", "cgroup-3", "tasks", "tasks/inner"),
        *("tasks-2", "tasks/tasks-2"),
    }
    assert {name: hog.get("comm") for name, hog in raw["hog"].items()} == {
        "a-b": "a b",
        "a-b-2": "a b",
        "task": None,
    }
    assert r"'\\udcff'" in made.text or r"'\\xff'" in made.text or r"\xff" in made.text


def test_cgroups_nested_too_deeply_become_their_ancestor():
    paths = ["/" + "/".join(["d"] * depth) for depth in range(1, 60)]
    of = subtree(
        member(2, M, 0, paths[-1]),
        member(3, M, 0, paths[-2]),
        cgroups=[CgroupState(path) for path in paths],
    )
    _made, raw = written(of)
    assert len(raw["cgroup"]) == 32


def test_processes_of_one_memory_are_one_hog_with_a_sharer():
    of = subtree(
        member(2, 8 * M, 5, "/a"),
        member(3, 8 * M, 5, "/b", shares=2),
        cgroups=[CgroupState("/a"), CgroupState("/b")],
        max=64 * M,
    )
    _made, raw = written(of)
    assert raw["hog"] == {
        "task2": {
            "size": raw["hog"]["task2"]["size"],
            "cgroup": "a",
            "oom_score_adj": 5,
            "kind": "shared",
            "sharer": "b",
        }
    }


def test_a_group_dies_as_a_whole():
    of = subtree(
        member(2, 8 * M, 0, "/a"),
        member(3, M, 0, "/a"),
        member(4, M, -1000, "/a"),
        member(5, M, 0, "/b"),
        cgroups=[CgroupState("/a", oom_group=True), CgroupState("/b")],
        max=64 * M,
    )
    assert written(of)[1]["expect"] == {"victims": ["task2", "task3"]}


def test_more_tasks_than_a_scenario_may_have():
    of = subtree(*(member(pid, pid * 4 * K) for pid in range(2, 4200)), max=16 * G)
    made, raw = written(of)
    assert len(raw["hog"]) == 4096
    assert made.victim == "task4199"
    assert "102 tasks" in made.notes[0]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, None),
        ({"file": 9 * M}, None),
        ({"shmem": 9 * M}, "shmem"),
        ({"threads": 3}, "threads"),
    ],
)
def test_the_kind_of_a_hog_is_that_of_its_largest_part(more, kind):
    _made, raw = written(subtree(member(2, 8 * M, **more)))
    assert raw["hog"]["task2"].get("kind") == kind


def test_secrets_are_in_the_file_only_if_they_are_in_the_subtree():
    made, _raw = written(subtree(member(2, M, command="app --password=x\x1b[31m")))
    assert "app --password=x\\x1b[31m" in made.text


def test_a_plan_can_be_made_of_it():
    of = subtree(member(2, 8 * M), max=64 * M)
    made = rebuild(of, source="A test", order=3)
    sound = checked(tomllib.loads(made.text), "it", made.text, Origin())
    (step,) = plan(sound, SITE).steps
    assert step.call.order == 3


def test_init_cannot_be_chosen_in_the_scenario_either():
    _made, raw = written(subtree(member(1, 64 * M), member(2, 8 * M), max=256 * M))
    assert raw["hog"]["task1"]["oom_score_adj"] == -1000
    assert raw["expect"]["victims"] == ["task2"]

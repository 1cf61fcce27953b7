from dataclasses import replace

import pytest

from oomctl.cgroup.tree import Tree
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.plan import Call, Hog, Plan, Setting, Step
from oomctl.scenario import model, of_options, planning
from oomctl.scenario.planning import Existing, Site

STEPS = (Step(Call("/t", 0, 1)),)


def planned(**more):
    hogs = [Hog("a", 1), Hog("b", 1)]
    made = planning.plan(
        of_options(hogs, model.Call(), memory_max=1 << 20), Site(lambda: "t", 1 << 30)
    )
    return replace(made, **more)


def cgroups(root):
    return sorted(node.cgroup for node in root.walk())


def read(root, cgroup, file):
    return (root.at(cgroup).directory / file).read_text()


def test_it_is_made_when_entered_and_gone_when_left(cgroupfs, journal):
    with Tree(cgroupfs, planned(), journal):
        assert cgroups(cgroupfs) == ["/", "/t", "/t/a", "/t/b"]
        assert read(cgroupfs, "/t", "memory.max") == "1048576"
        assert read(cgroupfs, "/t", "cgroup.subtree_control") == "+memory"
        assert read(cgroupfs, "/t/a", "memory.max") == "max\n"
    assert cgroups(cgroupfs) == ["/"]


def test_a_controller_that_is_given_already_is_not_written_again(cgroupfs, journal):
    with Tree(cgroupfs, planned(), journal):
        pass
    assert read(cgroupfs, "/", "cgroup.subtree_control") == "memory pids\n"


def test_a_controller_that_is_not_given_yet_is_enabled(cgroupfs, journal):
    (cgroupfs.directory / "cgroup.subtree_control").write_text("")
    with Tree(cgroupfs, planned(), journal):
        pass
    assert read(cgroupfs, "/", "cgroup.subtree_control") == "+memory"


@pytest.mark.parametrize(("file", "has_it"), [("memory.swap.max", False), ("memory.max", True)])
def test_a_file_that_the_kernel_may_lack_is_written_where_it_is(cgroupfs, journal, file, has_it):
    setting = Setting("/t", file, "777", optional=True)
    with Tree(cgroupfs, Plan(("/t",), (setting,), (), STEPS), journal):
        path = cgroupfs.directory / "t" / file
        assert path.exists() is has_it
        assert not has_it or path.read_text().startswith("777")


@pytest.mark.parametrize("broken", ["/t/a", "/t"])
def test_what_fails_halfway_leaves_nothing(cgroupfs, journal, broken):
    settings = (Setting(broken, "memory.nonsense", "1"),)
    wanted = Plan(("/t", "/t/a", "/t/b"), settings, (), STEPS)
    with (
        pytest.raises(KernelFileError, match="memory controller is not enabled"),
        Tree(cgroupfs, wanted, journal),
    ):
        pass
    assert cgroups(cgroupfs) == ["/"]


def test_a_cgroup_of_that_name_is_not_taken_over_nor_removed(cgroupfs, journal):
    cgroupfs.create_cgroup("t").create_cgroup("theirs")
    with pytest.raises(KernelFileError, match="exists already"), Tree(cgroupfs, planned(), journal):
        pass
    assert cgroups(cgroupfs) == ["/", "/t", "/t/theirs"]


def test_cgroups_that_others_made_inside_are_removed_too(cgroupfs, journal):
    with Tree(cgroupfs, planned(), journal):
        cgroupfs.at("/t/a").create_cgroup("late")
    assert cgroups(cgroupfs) == ["/"]


def test_what_is_to_be_kept_is_kept_and_said(cgroupfs, journal, capsys):
    with Tree(cgroupfs, planned(keep=True), journal):
        pass
    assert cgroups(cgroupfs) == ["/", "/t", "/t/a", "/t/b"]
    assert capsys.readouterr().err.count("kept ") == 1  # the top alone


def test_after_an_error_nothing_is_kept(cgroupfs, journal):
    with pytest.raises(RuntimeError), Tree(cgroupfs, planned(keep=True), journal):
        raise RuntimeError
    assert cgroups(cgroupfs) == ["/"]


def test_hogs_in_an_existing_cgroup_leave_it_as_it_was(cgroupfs, journal):
    cgroupfs.create_cgroup("theirs")
    site = Site(lambda: "t", 1 << 30, existing=Existing("/theirs", {"memory"}))
    made = planning.plan(of_options([Hog("a", 1)], model.Call(target="/theirs")), site)
    with Tree(cgroupfs, made, journal):
        assert cgroups(cgroupfs) == ["/", "/theirs", "/theirs/t", "/theirs/t/a"]
    assert cgroups(cgroupfs) == ["/", "/theirs"]


class Counted(tuple):
    """Settings that count how many of them are looked at."""

    looked_at = 0

    def __iter__(self):
        for each in super().__iter__():
            Counted.looked_at += 1
            yield each


def test_the_settings_are_looked_at_once_however_many_cgroups_there_are(
    cgroupfs, journal, monkeypatch
):
    monkeypatch.setattr(Counted, "looked_at", 0)
    names = ("/t", *(f"/t/{number}" for number in range(40)))
    settings = Counted(Setting(name, "memory.max", "777") for name in names)
    with Tree(cgroupfs, Plan(names, settings, (), STEPS), journal):
        assert all(read(cgroupfs, name, "memory.max") == "777" for name in names)
    assert Counted.looked_at == len(names)

"""What a process that was killed has left: every entry, every moment, and who is left alone."""

import os
import signal
from pathlib import Path

import pytest

from oomctl.journal import Changed, Made, Making, Owner, Stays, line
from oomctl.kernel import leftovers
from oomctl.kernel.cgroups import CgroupError
from oomctl.kernel.changed import to_be_changed
from oomctl.kernel.journal import Journal, boot, folder, journals
from oomctl.kernel.leftovers import clean_up, sweep
from oomctl.kernel.owned import Owned
from oomctl.kernel.tree import Tree
from oomctl.plan import Hog
from oomctl.scenario import of_options, planning
from oomctl.scenario.planning import Site


def leave(*entries, owner=None):
    """Write a journal that nobody owns."""
    folder().mkdir(exist_ok=True, mode=0o700)
    path = folder() / "1-gone.journal"
    owner = owner or Owner(4242, boot())
    path.write_bytes(b"".join(map(line, (owner, *entries))))
    return path


def said():
    return [(found.done, list(map(str, found.failed))) for found in clean_up()]


def cgroups(root):
    return [node.cgroup for node in root.subtree()]


@pytest.fixture
def theirs(cgroupfs):
    return cgroupfs.create_cgroup("theirs")


def test_nothing_at_all(cgroupfs):
    assert said() == []


def test_a_tree_goes_with_what_others_made_in_it(cgroupfs):
    top = cgroupfs.create_cgroup("t")
    leaf = top.create_cgroup("a")
    leaf.create_cgroup("late")
    (leaf.directory / "cgroup.procs").write_text(f"{2**22 + 7}\n")
    path, name = leave(Made(str(top.directory), top.id), Made(str(leaf.directory), leaf.id)), top
    assert said() == [([f"removed {name.directory}"], [])]
    assert cgroups(cgroupfs) == ["/"]
    assert not path.exists()
    assert said() == []


def test_a_cgroup_that_is_another_by_now_is_left_alone(cgroupfs, theirs):
    path = leave(Made(str(theirs.directory), theirs.id + 1))
    assert said() == [([], [])]
    assert cgroups(cgroupfs) == ["/", "/theirs"]
    assert not path.exists()


def test_a_cgroup_that_was_about_to_be_made(cgroupfs, theirs):
    leave(Making(str(theirs.directory)))
    assert said() == [([f"removed {theirs.directory}"], [])]
    leave(Making(str(theirs.directory)))
    assert said() == [([], [])]


def test_a_cgroup_that_was_about_to_be_made_and_is_in_use_may_be_anybodys(cgroupfs, theirs):
    (theirs.directory / "cgroup.procs").write_text("7\n")
    path = leave(Making(str(theirs.directory)))
    ((done, (failure,)),) = said()
    assert done == []
    assert "busy; it may not be oomctl's" in failure
    assert (theirs.directory / "cgroup.kill").read_text() == ""
    assert path.exists()


def test_a_setting_is_put_back(theirs):
    limit = theirs.directory / "memory.max"
    limit.write_text("4096\n")
    leave(Changed(str(limit), theirs.id, "max", "4096"))
    assert said() == [([f"put {limit} back to max"], [])]
    assert limit.read_text() == "max"


@pytest.mark.parametrize("holds", ["max\n", "8192\n"])
def test_a_setting_that_somebody_wrote_since_is_left_alone(theirs, holds):
    limit = theirs.directory / "memory.max"
    limit.write_text(holds)
    path = leave(Changed(str(limit), theirs.id, "max", "4096"))
    assert said() == [([], [])]
    assert limit.read_text() == holds
    assert not path.exists()


def test_a_setting_of_a_cgroup_that_is_another_by_now(theirs):
    limit = theirs.directory / "memory.max"
    limit.write_text("4096\n")
    leave(Changed(str(limit), theirs.id + 1, "max", "4096"))
    assert said() == [([], [])]
    assert limit.read_text() == "4096\n"


def test_a_setting_of_a_cgroup_that_is_gone(theirs):
    leave(Changed(f"{theirs.directory}/gone/memory.max", 5, "max", "4096"))
    assert said() == [([], [])]


def test_a_sysctl_is_put_back_too(cgroupfs, tmp_path):
    sysctl = tmp_path / "panic_on_oom"
    sysctl.write_text("1\n")
    leave(Changed(str(sysctl), None, "0", "1"))
    assert said() == [([f"put {sysctl} back to 0"], [])]


def test_what_stays_on_purpose_stays(cgroupfs):
    leave(Stays(f"{cgroupfs.directory}/cgroup.subtree_control", "+memory"))
    assert said() == [([], [])]


def test_after_another_boot_there_is_nothing_to_undo(theirs):
    path = leave(Made(str(theirs.directory), theirs.id), owner=Owner(4242, "another boot"))
    assert said() == [([], [])]
    assert theirs.directory.exists()
    assert not path.exists()


def test_what_is_no_journal_is_named_and_stays(cgroupfs):
    path = leave()
    path.write_bytes(b"\xff\xfe\n")
    ((done, (failure,)),) = said()
    assert (done, path.exists()) == ([], True)
    assert f"{path} is no journal of oomctl's" in failure


def test_what_cannot_be_removed_stays_in_the_journal_and_the_rest_goes(
    cgroupfs, theirs, monkeypatch
):
    stuck = cgroupfs.create_cgroup("stuck")
    limit = theirs.directory / "memory.max"
    limit.write_text("4096")
    remove = leftovers.removal.remove

    def fail(path, cgroup_id):
        if path == stuck.directory:
            raise CgroupError("it is held by 7 (x, D)", "end them")
        return remove(path, cgroup_id)

    path = leave(
        Changed(str(limit), theirs.id, "max", "4096"), Made(str(stuck.directory), stuck.id)
    )
    with monkeypatch.context() as patch:
        patch.setattr(leftovers.removal, "remove", fail)
        assert said() == [([f"put {limit} back to max"], ["it is held by 7 (x, D); end them"])]
    assert path.exists()
    assert said() == [([f"removed {stuck.directory}"], [])]
    assert not path.exists()


def test_it_may_only_say_what_it_would_do(cgroupfs, theirs):
    limit = theirs.directory / "memory.max"
    limit.write_text("4096")
    top, maybe = cgroupfs.create_cgroup("t"), cgroupfs.create_cgroup("m")
    (top.directory / "cgroup.procs").write_text(f"{2**22 + 7}\n")
    path = leave(
        Made(str(top.directory), top.id),
        Changed(str(limit), theirs.id, "max", "4096"),
        Making(str(maybe.directory)),
    )
    (found,) = clean_up(really=False)
    assert found.done == [
        f"remove {maybe.directory} if it is empty",
        f"put {limit} back from 4096 to max",
        f"remove {top.directory}, killing 4194311",
    ]
    assert path.exists()
    assert limit.read_text() == "4096"
    assert sorted(cgroups(cgroupfs)) == ["/", "/m", "/t", "/theirs"]


def test_the_sweep_says_a_line_for_each(cgroupfs, capsys):
    top = cgroupfs.create_cgroup("t")
    leave(Made(str(top.directory), top.id))
    sweep()
    assert capsys.readouterr().err == (
        f"oomctl: cleaned up after oomctl (pid 4242): removed {top.directory}\n"
    )
    sweep()
    assert capsys.readouterr().err == ""


def test_who_lives_is_left_alone(cgroupfs, journal):
    made = Owned.make(cgroupfs, "t", journal)
    assert said() == []
    assert cgroups(cgroupfs) == ["/", "/t"]
    made.remove()
    made.release(journal)


def work(root):
    """What a run does to cgroups, from the journal on."""
    hogs = [Hog("a", 1), Hog("b", 1)]
    plan = planning.plan(of_options(hogs, {}, memory_max=1 << 20), Site("t", 1 << 30))
    limit = root.at("/theirs").directory / "memory.max"
    with Journal() as journal, Tree(root, plan, journal), to_be_changed(limit, "4096", journal):
        limit.write_text("4096")


STEPS = ("mkdir", "rmdir", "write", "open", "ftruncate", "unlink", "fstat")


def crash(what, moment):
    """Be killed at the so-manieth system call of something; tell whether there are so many."""
    child = os.fork()
    if child == 0:
        left = moment

        def counted(real):
            def call(*args, **kwargs):
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return call

        try:
            for name in STEPS:
                setattr(os, name, counted(getattr(os, name)))
            Path.write_text = counted(Path.write_text)
            what()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def nothing_left(root):
    return (
        all(found.failed == [] for found in clean_up())
        and cgroups(root) == ["/", "/theirs"]
        and journals() == []
        and (root.directory / "theirs/memory.max").read_text().strip() == "max"
    )


def test_killed_at_any_system_call_nothing_is_left(cgroupfs, theirs):
    moments = 0
    while crash(lambda: work(cgroupfs), moments):
        moments += 1
        assert nothing_left(cgroupfs), moments
    assert nothing_left(cgroupfs)
    assert moments > 30


def test_killed_at_any_system_call_of_cleaning_up_the_next_does_it(cgroupfs, theirs):
    moments = 0
    while True:
        assert crash(lambda: work(cgroupfs), 24)
        assert len(cgroups(cgroupfs)) > 2
        if not crash(lambda: list(clean_up()), moments):
            break
        moments += 1
        assert nothing_left(cgroupfs), moments
    assert nothing_left(cgroupfs)
    assert moments > 10


@pytest.mark.parametrize(
    "text",
    [
        b'{"kind": "making", "path": "relative"}',
        b'{"kind": "making", "path": ""}',
        b'{"kind": "making", "path": "/\\u0000"}',
        b'{"kind": "making", "path": 7}',
        b'{"kind": "made", "path": "/x", "id": "7"}',
        b'{"kind": "changed", "path": "/x", "folder": [], "was": "a", "wrote": "b"}',
        b'{"kind": ["made"]}',
        b'{"kind": "owner", "pid": 1, "boot": null}',
        b"[" * 99_999,
        b"9" * 5000,
        b"null",
        b"\xff",
    ],
)
def test_what_no_oomctl_wrote_is_not_acted_on(cgroupfs, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir()
    path = leave()
    path.write_bytes(line(Owner(4242, boot())) + text + b"\n")
    (found,) = clean_up()
    (failure,) = found.failed
    assert (found.owner, found.done) == ("an unknown process", [])
    assert f"{path} is no journal of oomctl's" in str(failure)
    assert "\n" not in str(failure)
    assert path.exists()
    assert (tmp_path / "relative").exists()


def test_a_journal_that_cannot_be_read_does_not_hide_the_others(cgroupfs):
    made = cgroupfs.create_cgroup("t")
    leave(Made(str(made.directory), made.id))
    (folder() / "0-folder.journal").mkdir()
    (folder() / "0-link.journal").symlink_to("/etc/passwd")
    found = list(clean_up())
    assert not made.directory.exists()
    failed = sorted(str(each) for one in found for each in one.failed)
    assert len(failed) == 2
    assert "0-folder.journal: Is a directory; look at it, then remove it" in failed[0]
    assert "0-link.journal: Too many levels of symbolic links" in failed[1]

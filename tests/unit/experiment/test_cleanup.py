"""What a killed process has left: every entry, every moment, and what is not touched."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oomctl.cgroup.owned import JournaledCgroup
from oomctl.cgroup.tree import Tree
from oomctl.experiment import cleanup, setting
from oomctl.experiment.cleanup import clean_up, sweep
from oomctl.experiment.setting import temporarily
from oomctl.files.kernelfile import KernelFileError
from oomctl.journal.entries import Changed, Made, Making, Owner, Stays, line
from oomctl.journal.file import Journal, boot
from oomctl.journal.rundir import folder
from oomctl.oom.plan import Hog
from oomctl.scenario import model, of_options, planning
from oomctl.scenario.planning import Site
from tests.audit import batch
from tests.cli.command import run
from tests.journals import journals


def leave(*entries, owner=None):
    """Write a journal whose process is gone."""
    folder().mkdir(exist_ok=True, mode=0o700)
    path = folder() / "1-gone.journal"
    owner = owner or Owner(4242, boot())
    path.write_bytes(b"".join(map(line, (owner, *entries))))
    return path


def said():
    return [(found.done, list(map(str, found.failed))) for found in clean_up()]


def cgroups(root):
    return [node.cgroup for node in root.walk()]


@pytest.fixture
def theirs(cgroupfs):
    return cgroupfs.create_cgroup("theirs")


def test_without_journals_nothing_is_done(cgroupfs):
    assert said() == []


def test_a_tree_is_removed_with_the_cgroups_that_others_made_in_it(cgroupfs):
    top = cgroupfs.create_cgroup("t")
    leaf = top.create_cgroup("a")
    leaf.create_cgroup("late")
    (leaf.directory / "cgroup.procs").write_text(f"{2**22 + 7}\n")
    path, name = leave(Made(str(top.directory), top.id), Made(str(leaf.directory), leaf.id)), top
    assert said() == [([f"removed {name.directory}"], [])]
    assert cgroups(cgroupfs) == ["/"]
    assert not path.exists()
    assert said() == []


def test_a_cgroup_that_was_replaced_is_not_touched(cgroupfs, theirs):
    path = leave(Made(str(theirs.directory), theirs.id + 1))
    assert said() == [([], [])]
    assert cgroups(cgroupfs) == ["/", "/theirs"]
    assert not path.exists()


def test_a_cgroup_that_was_being_made_is_removed(cgroupfs, theirs):
    leave(Making(str(theirs.directory)))
    assert said() == [([f"removed {theirs.directory}"], [])]
    leave(Making(str(theirs.directory)))
    assert said() == [([], [])]


def test_a_cgroup_that_was_being_made_and_is_in_use_is_not_removed(cgroupfs, theirs):
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
def test_a_setting_that_another_program_wrote_is_not_touched(theirs, holds):
    limit = theirs.directory / "memory.max"
    limit.write_text(holds)
    path = leave(Changed(str(limit), theirs.id, "max", "4096"))
    assert said() == [([], [])]
    assert limit.read_text() == holds
    assert not path.exists()


def test_a_setting_of_a_cgroup_that_was_replaced_is_not_touched(theirs):
    limit = theirs.directory / "memory.max"
    limit.write_text("4096\n")
    leave(Changed(str(limit), theirs.id + 1, "max", "4096"))
    assert said() == [([], [])]
    assert limit.read_text() == "4096\n"


def test_a_setting_of_a_cgroup_that_is_gone_is_dropped(theirs):
    leave(Changed(f"{theirs.directory}/gone/memory.max", 5, "max", "4096"))
    assert said() == [([], [])]


def test_a_sysctl_is_put_back(cgroupfs, tmp_path, monkeypatch):
    monkeypatch.setattr(setting, "SYSCTLS", tmp_path / "sys")
    sysctl = tmp_path / "sys/vm/panic_on_oom"
    sysctl.parent.mkdir(parents=True)
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


def test_a_file_that_is_not_a_journal_is_named_and_stays(cgroupfs):
    path = leave()
    path.write_bytes(b"\xff\xfe\n")
    ((done, (failure,)),) = said()
    assert (done, path.exists()) == ([], True)
    assert f"{path} is not a journal of oomctl" in failure


def test_what_cannot_be_removed_stays_in_the_journal_and_the_rest_is_removed(
    cgroupfs, theirs, monkeypatch
):
    stuck = cgroupfs.create_cgroup("stuck")
    limit = theirs.directory / "memory.max"
    limit.write_text("4096")
    remove = cleanup.removal.remove

    def fail(path, cgroup_id):
        if path == stuck.directory:
            raise KernelFileError("it is held by 7 (x, D)", "end them")
        return remove(path, cgroup_id)

    path = leave(
        Changed(str(limit), theirs.id, "max", "4096"), Made(str(stuck.directory), stuck.id)
    )
    with monkeypatch.context() as patch:
        patch.setattr(cleanup.removal, "remove", fail)
        assert said() == [([f"put {limit} back to max"], ["it is held by 7 (x, D); end them"])]
    assert path.exists()
    assert said() == [([f"removed {stuck.directory}"], [])]
    assert not path.exists()


def test_a_dry_run_only_says_what_it_would_do(cgroupfs, theirs):
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


def test_the_sweep_prints_a_line_for_each(cgroupfs, capsys):
    top = cgroupfs.create_cgroup("t")
    leave(Made(str(top.directory), top.id))
    sweep()
    assert capsys.readouterr().err == (
        f"oomctl: cleaned up after oomctl (pid 4242): removed {top.directory}\n"
    )
    sweep()
    assert capsys.readouterr().err == ""


def test_the_journal_of_a_running_process_is_not_touched(cgroupfs, journal):
    made = JournaledCgroup.make(cgroupfs, "t", journal)
    assert said() == []
    assert cgroups(cgroupfs) == ["/", "/t"]
    made.remove()
    journal.forget(*made.entries)


def work(root):
    """Do what a run does to cgroups, from the journal on."""
    hogs = [Hog("a", 1), Hog("b", 1)]
    plan = planning.plan(
        of_options(hogs, model.Call(), memory_max=1 << 20), Site(lambda: "t", 1 << 30)
    )
    limit = root.at("/theirs").directory / "memory.max"
    with Journal() as journal, Tree(root, plan, journal), temporarily(limit, "4096", journal):
        limit.write_text("4096")


STEPS = ("mkdir", "rmdir", "write", "open", "ftruncate", "unlink", "fstat")


def crash(what, moment):
    """Be killed at the system call with number `moment`; return whether there was one."""
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


def test_killed_at_any_system_call_of_the_clean_up_the_next_one_does_it(cgroupfs, theirs):
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
def test_a_line_that_oomctl_did_not_write_is_not_acted_on(cgroupfs, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir()
    path = leave()
    path.write_bytes(line(Owner(4242, boot())) + text + b"\n")
    (found,) = clean_up()
    (failure,) = found.failed
    assert (found.owner, found.done) == ("an unknown process", [])
    assert f"{path} is not a journal of oomctl" in str(failure)
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
    assert "0-link.journal: Too many levels of symbolic links; look at it" in failed[0]
    assert "0-folder.journal: it is not a regular file; look at it, then remove it" in failed[1]


@pytest.fixture
def outside(cgroupfs, tmp_path, monkeypatch):
    """Files and folders outside the mount and the sysctls, which no entry may reach."""
    monkeypatch.setattr(setting, "SYSCTLS", tmp_path / "sys")
    files = ("sys/vm/swappiness", "system/memory.max", "cgroup2x/a/memory.max", "etc/memory.max")
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("1")
    (tmp_path / "etc/empty").mkdir()
    furnish(cgroupfs)
    return tmp_path


def furnish(root):
    """Make a cgroup with files that no kernel has in one: a file, links to the outside."""
    theirs = root.create_cgroup("a").directory
    (theirs / "memory.max").write_text("1")
    (theirs / "core").write_text("1")
    (theirs / "link").symlink_to(root.directory.parent / "etc")
    (theirs / "memory.link").symlink_to(root.directory.parent / "etc/memory.max")


def contents(*roots):
    """Each folder and file below, by path."""
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    return [(path, path.lstat().st_ino, path.is_file() and path.read_text()) for path in paths]


ODD = [
    Changed("/HERE/etc/memory.max", None, "0", "1"),
    Changed("/HERE/cgroup2/a/memory.max", None, "0", "1"),
    Changed("/HERE/cgroup2/a/core", 1, "0", "1"),
    Changed("/HERE/cgroup2/a/../../etc/memory.max", 1, "0", "1"),
    Changed("/HERE/cgroup2//a/memory.max", 1, "0", "1"),
    Changed("/HERE/cgroup2/cgroup.max.depth", 1, "max", "1"),
    Changed("/HERE/cgroup2x/a/memory.max", 1, "0", "1"),
    Changed("/HERE/sys/vm/../../etc/memory.max", None, "0", "1"),
    Changed("/HERE/system/memory.max", None, "0", "1"),
    Changed("/HERE/sys", None, "0", "1"),
    Made("/HERE/etc", 1),
    Made("/HERE/cgroup2", 1),
    Made("/HERE/cgroup2/a/../../etc/empty", 1),
    Making("/HERE/etc/empty"),
    Making("/HERE/cgroup2/.."),
    Stays("/HERE/etc/memory.max", "1"),
    Stays("/HERE/cgroup2/a/core", "1"),
]


def at(entry, root):
    """Move an entry into the test's folder, with the true inode number if there is one."""
    path = entry.path.replace("/HERE", str(root))
    fields = {"path": path}
    if isinstance(entry, Made):
        fields["id"] = ino(path)
    elif isinstance(entry, Changed) and entry.folder is not None:
        fields["folder"] = ino(Path(path).parent)
    return replace(entry, **fields)


def ino(path):
    try:
        return Path(path).stat().st_ino
    except OSError:
        return 0


@pytest.mark.parametrize("entry", ODD, ids=str)
@pytest.mark.parametrize("words", [("clean", "--dry-run"), ("clean",)])
def test_an_entry_with_a_path_that_does_not_fit_its_kind_is_refused(outside, changes, entry, words):
    """A valid entry follows: but nothing at all is done for such a journal."""
    entry = at(entry, outside)
    path = leave(entry, Changed(str(outside / "sys/vm/swappiness"), None, "0", "1"))
    changes.clear()
    result = run(*words)
    assert (result.exit_code, result.stdout) == (4, "")
    what = "not a cgroup" if isinstance(entry, Made | Making) else "neither a sysctl nor"
    said = f"{path} is not a journal of oomctl: '{entry.path}' is {what}"
    assert result.stderr.startswith(f"oomctl: an unknown process: {said}")
    assert result.stderr.endswith(f"; look at it, then rm {path}\n")
    assert changes == []


parts = st.sampled_from(["a", "..", ".", "", "core", "link", "memory.max", "memory.link", "x"])
roots = st.sampled_from(
    ["/HERE/cgroup2", "/HERE/sys/vm", "/HERE/etc", "/HERE/cgroup2x", "/HERE", "/proc/self", ""]
)
anywhere = st.builds(lambda root, rest: "/".join((root, *rest)) or "/", roots, st.lists(parts))
values = st.sampled_from(["0", "1"])
any_entry = st.one_of(
    st.builds(Making, anywhere),
    st.builds(Made, anywhere, st.just(0)),
    st.builds(Changed, anywhere, st.sampled_from([None, 0]), values, values),
    st.builds(Stays, anywhere, values),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_entry, min_size=1, max_size=3))
def test_nothing_is_written_outside_the_cgroups_and_the_sysctls(cgroupfs, outside, entries):
    beside = [outside / name for name in ("etc", "system", "cgroup2x")]
    before, core, written = contents(*beside), outside / "cgroup2/a/core", []
    leave(*(at(each, outside) for each in entries if each.path[:1] == "/"))
    with batch(written.append):
        list(clean_up())
    assert contents(*beside) == before
    # a bare name is in a folder that was not opened through a link; the fake itself uses paths
    assert all("/" not in where or f"{outside}/cgroup2/" in where for _what, where, *_ in written)
    if core.exists():
        assert core.read_text() == "1"
    else:
        furnish(cgroupfs)
    (outside / "sys/vm/swappiness").write_text("1")
    (outside / "cgroup2/a/memory.max").write_text("1")

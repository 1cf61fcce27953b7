"""The journal: its lines, its file, and its owner."""

import errno
import fcntl
import os
import signal
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.journal import rundir
from oomctl.journal.entries import Changed, Made, Making, Owner, Stays, line, read, to_undo, tops
from oomctl.journal.file import Journal, abandoned, boot
from oomctl.journal.rundir import folder
from tests.journals import journals

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
NOBODY = 65534

ME = Owner(os.getpid(), "boot")
TREE = (Making("/c/t"), Made("/c/t", 1), Making("/c/t/a"), Made("/c/t/a", 2))
LIMIT = Changed("/c/x/memory.max", 3, "max", "4096")

texts = st.text(st.characters(), max_size=30)
paths = texts.map(lambda text: "/" + text.replace("\0", ""))
entries = st.one_of(
    st.builds(Making, paths),
    st.builds(Made, paths, st.integers(0, 2**64)),
    st.builds(Changed, paths, st.none() | st.integers(0, 2**64), texts, texts),
    st.builds(Stays, paths, texts),
)


@contextmanager
def the_only():
    """Lock the only journal, if its owner is gone."""
    with rundir.opened() as opened:
        (name,) = opened.names()
        with abandoned(opened, name) as text:
            yield text


@given(st.lists(entries))
def test_what_is_written_is_read(wanted):
    data = b"".join(map(line, (ME, *wanted)))
    assert data.count(b"\n") == len(wanted) + 1
    assert read(data) == (ME, wanted)


@given(st.lists(entries, min_size=1), st.data())
def test_a_line_that_was_cut_off_was_never_acted_on(wanted, data):
    whole = b"".join(map(line, (ME, *wanted[:-1])))
    last = line(wanted[-1])
    cut = data.draw(st.integers(0, len(last) - 1))
    assert read(whole + last[:cut]) == (ME, wanted[:-1])


def test_a_journal_without_even_its_owner_has_nothing():
    assert read(b"") == read(line(ME)[:-1]) == (None, [])


@given(st.binary() | st.text().map(str.encode))
def test_text_that_is_not_a_journal(data):
    try:
        owner, found = read(data + b"\n")
    except ValueError:
        return
    assert owner is not None or found == []


@pytest.mark.parametrize(
    "data",
    [
        line(TREE[0]),
        line(ME) + line(ME),
        b"[]\n",
        b'{"kind": "made"}\n',
        line(ME) + b'{"kind": "eaten", "path": "/x"}\n',
        line(ME) + line(TREE[1]).replace(b'"id"', b'"inode"'),
        b"\xff\n",
    ],
)
def test_faults(data):
    with pytest.raises(
        ValueError, match=r"not a line of a journal|other fields|first line|can't decode"
    ):
        read(data)


def test_a_cgroup_below_another_is_not_undone_by_itself():
    assert tops([each for each in TREE if isinstance(each, Made)]) == [TREE[1]]
    assert list(to_undo([Stays("/c", "+memory"), *TREE, LIMIT])) == [LIMIT, TREE[1]]


@pytest.mark.parametrize(
    ("until", "undone"), [(1, [TREE[0]]), (2, [TREE[1]]), (3, [TREE[1]]), (4, [TREE[1]])]
)
def test_a_cgroup_that_was_not_made_for_certain(until, undone):
    assert list(to_undo(TREE[:until])) == undone


def test_a_cgroup_beside_another_of_a_longer_name():
    made = [Made("/c/t", 1), Made("/c/t2", 2)]
    assert tops(made) == made


def test_a_journal_lists_what_stands_and_is_gone_afterwards(journal):
    (path,) = journals()
    assert (folder().stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    head = path.read_bytes()
    for each in TREE:
        journal.write(each)
    assert read(path.read_bytes())[1] == list(TREE)
    journal.forget(*TREE[2:])
    assert read(path.read_bytes())[1] == list(TREE[:2])
    journal.forget(*TREE[:2])
    assert path.read_bytes() == head


def test_what_is_undone_before_what_came_after_it_is_forgotten_with_that(journal):
    for each in TREE:
        journal.write(each)
    journal.forget(TREE[0], TREE[1])
    assert read(journals()[0].read_bytes())[1] == list(TREE)
    journal.forget(TREE[2], TREE[3])
    assert read(journals()[0].read_bytes())[1] == []


def test_it_does_not_grow_with_the_rounds(journal):
    for _ in range(100):
        journal.write(LIMIT)
        journal.forget(LIMIT)
    assert journals()[0].stat().st_size < 200


def test_what_still_stands_stays_in_it(cgroupfs):
    with Journal() as journal:
        journal.write(LIMIT)
    with the_only() as text:
        assert read(text)[1] == [LIMIT]


def test_the_journal_of_a_living_owner_is_left_alone(journal):
    with the_only() as text:
        assert text is None


def test_it_is_its_owners_as_long_as_a_process_that_was_forked_lives(cgroupfs, monkeypatch):
    """A caller may write memory.max until it ends: it must not be put back before."""
    reader, writer = os.pipe()
    owner = os.fork()
    if owner == 0:
        try:
            Journal().__enter__()
            if os.fork() == 0:
                os.write(writer, b"%d\n" % os.getpid())
                signal.pause()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)  # never on into the other tests
    os.waitpid(owner, 0)
    caller = int(os.read(reader, 20))
    watch = os.pidfd_open(caller)
    with monkeypatch.context() as patch:
        patch.setattr("oomctl.journal.file._DYING", 0.1)
        with pytest.raises(OomctlError, match="is gone, but a process that it"), the_only():
            pass
    later = threading.Timer(0.2, os.kill, (caller, signal.SIGKILL))
    later.start()
    with the_only() as text:  # waits for it
        assert read(text)[0].pid == owner
    later.join()
    for fd in (reader, writer, watch):
        os.close(fd)


def test_a_journal_removed_before_its_lock_is_made_again(cgroupfs, monkeypatch):
    flock, taken = fcntl.flock, []

    def take_away(fd, how):
        if not taken:
            taken.append(journals()[0])
            taken[0].unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", take_away)
    with Journal():
        assert taken
        (path,) = journals()
        assert path != taken[0]


def test_no_room_is_said_before_anything_is_done(journal, monkeypatch):
    journal.write(LIMIT)
    before = journals()[0].read_bytes()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        with pytest.raises(OomctlError, match=r"journal .*: No space left.*make room"):
            journal.write(TREE[0])
    assert journals()[0].read_bytes() == before
    journal.write(TREE[0])
    journal.forget(LIMIT, TREE[0])


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_made(cgroupfs, monkeypatch, number):
    def no(*_rest, **_more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", no)
    with pytest.raises(UnsupportedError, match="name a folder that root can write to in OOMCTL_RU"):
        Journal().__enter__()


@pytest.mark.parametrize("moment", ["looks", "undoes"])
def test_a_journal_locked_by_another_first_is_made_again(cgroupfs, monkeypatch, moment):
    """By `abandoned()` in another process, which may be stopped at any point."""
    flock, holding = fcntl.flock, []

    def hold(fd, how):
        if not holding:
            holding.append(os.open(journals()[0], os.O_RDONLY))
            flock(holding[0], how)
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", hold)
    with Journal():
        assert len(journals()) == 1
    os.close(holding[0])
    assert journals() == []


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_to_is_not_trusted(cgroupfs, mode):
    folder().mkdir()
    folder().chmod(mode)
    refused("users other than its owner may write there")


def test_a_folder_that_is_a_link_or_a_file_is_not_trusted(cgroupfs, tmp_path):
    (tmp_path / "other").mkdir()
    folder().symlink_to(tmp_path / "other")
    refused("is not a folder")
    folder().unlink()
    folder().write_text("")
    refused("is not a folder")


def test_only_the_usual_folder_is_to_be_removed(cgroupfs, monkeypatch):
    """`OOMCTL_RUN_DIR=/tmp oomctl clean` advised to remove /tmp."""
    folder().write_text("")
    with pytest.raises(UnsupportedError) as raised, rundir.opened():
        pass
    assert raised.value.hint == "name another in OOMCTL_RUN_DIR"
    monkeypatch.setattr(rundir, "_USUAL", str(folder()))
    with pytest.raises(UnsupportedError) as raised, rundir.opened():
        pass
    assert raised.value.hint == "remove it, or name another in OOMCTL_RUN_DIR"


@needs_root
@pytest.mark.parametrize("text", ["/", "//", "/..", "."])
def test_odd_folders(cgroupfs, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OOMCTL_RUN_DIR", text)
    assert journals() == []


def refused(why):
    with pytest.raises(UnsupportedError, match=why):
        journals()
    with pytest.raises(UnsupportedError, match=why):
        Journal().__enter__()


@needs_root
@pytest.mark.parametrize("where", ["run", "a/run", "a/b/c/run"])
def test_a_folder_below_one_of_another_user_is_not_trusted(cgroupfs, tmp_path, monkeypatch, where):
    """That user may rename ours, and put one that is full of journals in its place."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setenv("OOMCTL_RUN_DIR", str(theirs / where))
    with Journal():
        pass
    os.chown(theirs, NOBODY, NOBODY)
    refused(f"{theirs}, which it is in, belongs to user {NOBODY}; name another in OOMCTL_RUN_DIR")
    folder().rmdir()
    with pytest.raises(UnsupportedError, match="belongs to user"):
        Journal().__enter__()
    assert not folder().exists()


@pytest.mark.parametrize(("mode", "trusted"), [(0o777, False), (0o775, False), (0o1777, True)])
def test_a_folder_beside_which_others_may_write(cgroupfs, tmp_path, monkeypatch, mode, trusted):
    """Where the sticky bit is set they cannot rename ours."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(mode)
    monkeypatch.setenv("OOMCTL_RUN_DIR", str(theirs / "run"))
    if trusted:
        with Journal():
            assert len(journals()) == 1
        return
    with pytest.raises(
        UnsupportedError, match=r"users other than its owner may write to .*theirs, wh"
    ):
        Journal().__enter__()
    assert not folder().exists()
    assert journals() == []
    folder().mkdir(mode=0o700)
    refused("users other than its owner may write to .*theirs, which it is in")


@needs_root
def test_links_on_the_way_to_the_folder(cgroupfs, tmp_path, monkeypatch):
    """Such as /var/run; only we or root may be able to change it."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("../" + tmp_path.name + "/real")
    monkeypatch.setenv("OOMCTL_RUN_DIR", str(link / "run"))
    with Journal():
        assert list((tmp_path / "real/run").iterdir())
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    refused(f"{link}, which it is in, belongs to user {NOBODY}")
    link.unlink()
    link.symlink_to(link)
    refused("Too many levels of symbolic links")


def test_the_folder_is_used_by_its_descriptor(cgroupfs):
    """A folder that replaces it has no effect on an oomctl that has opened it."""
    before = [*folder().parent.iterdir()]
    with Journal() as journal:
        folder().rename(folder().with_name("away"))
        folder().mkdir(mode=0o777)
        journal.write(LIMIT)
        (path,) = folder().with_name("away").iterdir()
        assert read(path.read_bytes())[1] == [LIMIT]
        assert list(journal.others()) == []
        journal.forget(LIMIT)
    assert not [*folder().iterdir(), *folder().with_name("away").iterdir()]
    assert before


def planted(how):
    """A journal in our folder that is not of our making."""
    folder().mkdir(mode=0o700)
    path = folder() / "1-planted.journal"
    path.write_bytes(line(Owner(4242, boot())) + line(LIMIT))
    how(path)
    return path


PLANTED = {
    "user": (lambda path: os.chown(path, NOBODY, NOBODY), f"it belongs to user {NOBODY}"),
    "group": (lambda path: path.chmod(0o660), "users other than its owner may write to it"),
    "world": (lambda path: path.chmod(0o602), "users other than its owner may write to it"),
    "link": (lambda path: path.with_suffix(".x").hardlink_to(path), "it has another name too"),
    "fifo": (lambda path: [path.unlink(), os.mkfifo(path)], "it is not a regular file"),
}


@needs_root
@pytest.mark.parametrize("name", PLANTED)
def test_a_journal_that_another_user_may_have_written(cgroupfs, name):
    path = planted(PLANTED[name][0])
    with pytest.raises(OomctlError, match=f"{path}: {PLANTED[name][1]}; look at it"), the_only():
        pass
    assert path.exists()
    with Journal() as journal:
        assert list(journal.others()) == []


@pytest.mark.parametrize("backwards", [False, True])
def test_entries_are_forgotten_without_comparing_each_with_each(journal, backwards):
    compared = 0

    class Counted(Making):
        __hash__ = Making.__hash__

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return self is other

    written = [Counted(f"/c/{number}") for number in range(200)]
    for entry in written:
        journal.write(entry)
    journal.forget(*(reversed(written) if backwards else written))
    assert read((journals()[0]).read_bytes())[1] == []
    assert compared <= 2 * len(written)

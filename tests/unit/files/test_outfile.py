"""What an output option writes to, and what it leaves as it was."""

import errno
import os
import socket
import stat
import struct
import threading

import pytest

from oomctl.files import outfile
from oomctl.files.outfile import open_output

NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OLD, NEW = b"what was there before\n", b"the result\n"


def write(path, data=NEW):
    with open_output(path) as file:
        file.write(data)


def listed(folder):
    return [each.name for each in folder.iterdir()]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def alone(path):
    """No other file may be left in the folder."""
    yield path
    assert listed(path.parent) == ["f"]


def failing(monkeypatch, function, number):
    def fail(*_args, **_more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fail)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_a_file_keeps_its_mode(alone, mode):
    alone.chmod(mode)
    before = os.umask(0o077)
    try:
        write(alone)
    finally:
        os.umask(before)
    assert alone.read_bytes() == NEW
    assert stat.S_IMODE(alone.stat().st_mode) == mode


@ROOT
def test_a_file_keeps_its_owner(alone):
    os.chown(alone, NOBODY, 100)
    alone.chmod(0o4755)
    write(alone)
    found = alone.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, 100, 0o4755)


def acl(*entries):
    """ACL_USER_OBJ 1, ACL_USER 2, ACL_GROUP_OBJ 4, ACL_MASK 16, ACL_OTHER 32."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)


NONE = 0xFFFFFFFF
SHARED = acl((1, 6, NONE), (2, 6, NOBODY), (4, 4, NONE), (16, 6, NONE), (32, 0, NONE))


def attribute(path, name, value):
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"this file system has no {name}: {error.strerror}")


def test_a_file_keeps_its_attributes_and_its_acl(alone):
    attribute(alone, "user.comment", b"mine")
    attribute(alone, "system.posix_acl_access", SHARED)
    mode = alone.stat().st_mode
    inode = alone.stat().st_ino
    write(alone)
    assert os.getxattr(alone, "user.comment") == b"mine"
    assert os.getxattr(alone, "system.posix_acl_access") == SHARED
    assert alone.stat().st_mode == mode
    assert alone.stat().st_ino != inode


def test_a_folders_default_acl_is_for_new_files_only(path):
    attribute(path.parent, "system.posix_acl_default", SHARED)
    path.chmod(0o600)
    write(path)
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write(path.with_name("new"))
    assert "system.posix_acl_access" in os.listxattr(path.with_name("new"))


@pytest.mark.parametrize("mask", [0o022, 0o077, 0])
def test_a_new_file_respects_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write(tmp_path / "f")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("target", ["f", "../other/f", "second"])
def test_a_link_is_followed_and_stays(tmp_path, target):
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    other.mkdir()
    (here / "second").symlink_to("../other/third")
    (other / "third").symlink_to(other / "fourth")
    (here / "link").symlink_to(target)
    for _once_new_once_there in range(2):
        write(here / "link")
        assert (here / "link").readlink().as_posix() == target
        assert (here / "link").read_bytes() == NEW
        assert not (here / "link").resolve().is_symlink()
    assert len([*here.iterdir(), *other.iterdir()]) == 4


def test_all_names_of_a_file_see_the_result(path):
    os.link(path, path.with_name("g"))
    write(path)
    assert path.with_name("g").read_bytes() == NEW
    assert path.samefile(path.with_name("g"))


def test_a_name_as_long_as_a_name_may_be(tmp_path):
    for _once_new_once_there in range(2):
        write(tmp_path / ("n" * 255))
    assert listed(tmp_path) == ["n" * 255]


@pytest.fixture
def nobody():
    if os.geteuid():
        pytest.skip("needs root")
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)
    os.setegid(0)


@pytest.fixture
def open_folder(path):
    """The folder of the path, open to every user; pytest's own folders stay as they were."""
    above = path.parents[1:3]
    before = [folder.stat().st_mode & 0o7777 for folder in above]
    for folder in above:
        folder.chmod(0o711)
    yield path.parent
    for folder, mode in zip(above, before, strict=True):
        folder.chmod(mode)


@ROOT
def test_an_own_file_in_a_folder_of_another_user(path, open_folder, nobody):
    os.seteuid(0)
    open_folder.chmod(0o755)
    os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    inode = path.stat().st_ino
    write(path)
    assert path.read_bytes() == NEW
    assert path.stat().st_ino == inode
    with pytest.raises(OSError, match="Permission denied"):
        write(path.with_name("new"))


@ROOT
def test_a_file_that_may_not_be_written_is_not_replaced(path, open_folder, nobody):
    os.seteuid(0)
    open_folder.chmod(0o777)
    os.seteuid(NOBODY)
    with pytest.raises(OSError, match="Permission denied"):
        write(path)
    os.seteuid(0)
    assert path.read_bytes() == OLD


@ROOT
def test_a_writable_file_of_another_user_keeps_its_owner(path, open_folder, nobody):
    os.seteuid(0)
    open_folder.chmod(0o777)
    path.chmod(0o666)
    os.seteuid(NOBODY)
    write(path)
    assert path.read_bytes() == NEW
    assert path.stat().st_uid == 0


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EPERM])
def test_a_mount_point_is_written_where_it_is(alone, monkeypatch, number):
    failing(monkeypatch, "rename", number)
    write(alone)
    assert alone.read_bytes() == NEW


@pytest.mark.parametrize(
    ("function", "number"),
    [
        *(("write", errno.ENOSPC), ("write", errno.EDQUOT), ("fsync", errno.EIO)),
        *(("dup", errno.EIO), ("rename", errno.ENOSPC)),
    ],
)
def test_what_cannot_be_finished_leaves_the_old(alone, monkeypatch, function, number):
    failing(monkeypatch, function, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        write(alone)
    assert alone.read_bytes() == OLD


def test_an_end_while_it_is_written_leaves_the_old(alone, monkeypatch):
    def interrupted(_fd):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(alone)
    assert alone.read_bytes() == OLD


def test_a_link_that_took_the_files_place_is_not_followed(path):
    secret = path.with_name("secret")
    secret.write_bytes(OLD)
    with open_output(path) as file:
        path.unlink()
        path.symlink_to("secret")
        with pytest.raises(OSError, match="is not a regular file any more"):
            file.write(NEW)
    assert path.is_symlink()
    assert secret.read_bytes() == OLD


def test_a_file_that_is_gone_is_made_again(alone):
    with open_output(alone) as file:
        alone.unlink()
        file.write(NEW)
    assert alone.read_bytes() == NEW


def test_a_removed_file_with_other_names_is_an_error(path):
    os.link(path, path.with_name("g"))
    with open_output(path) as file:
        path.unlink()
        path.with_name("g").unlink()
        with pytest.raises(OSError, match="was removed in the meantime"):
            file.write(NEW)


def test_nothing_is_left_of_what_was_not_written(tmp_path):
    with open_output(tmp_path / "f"):
        assert listed(tmp_path) == []
    assert listed(tmp_path) == []


def test_a_socket_is_refused(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        with pytest.raises(OSError, match="is a socket"):
            write(path)
    assert path.is_socket()


def test_a_pipe_is_written_through(tmp_path):
    path, got = tmp_path / "fifo", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()
    write(path, NEW * 20_000)
    reader.join(20)
    assert got == [NEW * 20_000]
    assert path.is_fifo()


def test_a_pipe_without_a_reader_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(outfile, "PATIENCE", 0.1)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="is a pipe without a reader"):
        write(tmp_path / "fifo")


@ROOT
def test_a_device_is_written_through(tmp_path):
    path = tmp_path / "null"
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    try:
        write(path)
    except PermissionError:
        pytest.skip("devices do not work on this file system")
    assert path.is_char_device()


def names(fd, tmp_path):
    link, chain = tmp_path / "link", tmp_path / "chain"
    link.symlink_to(f"/proc/self/fd/{fd}")
    chain.symlink_to("link")
    ours = f"/proc/{os.getpid()}"
    return [
        *(link, chain, f"/dev/fd/{fd}", f"/proc/self/fd/{fd}", f"{ours}/fd/{fd}"),
        *(f"/proc/thread-self/fd/{fd}", f"{ours}/task/{os.getpid()}/fd/{fd}"),
    ]


@pytest.mark.parametrize("append", [0, os.O_APPEND])
def test_a_descriptor_is_written_at_its_offset(path, tmp_path, append):
    folder = tmp_path / "links"
    folder.mkdir()
    fd = os.open(path, os.O_WRONLY | append)
    try:
        wanted = OLD if append else b""
        for name in names(fd, folder):
            write(type(path)(name))
            wanted += NEW
        os.write(fd, b"end")
    finally:
        os.close(fd)
    assert path.read_bytes() == wanted + b"end"


def test_a_descriptor_that_is_not_for_writing_is_refused(path):
    with path.open("rb") as file, pytest.raises(OSError, match="is not open for writing"):
        write(type(path)(f"/dev/fd/{file.fileno()}"))
    assert path.read_bytes() == OLD


def test_a_descriptor_of_another_process_is_written_through(path, tmp_path):
    pid = os.fork()
    if pid == 0:
        try:
            fd = os.open(path, os.O_WRONLY)
            os.dup2(fd, 77)
            os.write(77, b"")
            (tmp_path / "ready").touch()
            while (tmp_path / "ready").exists():
                threading.Event().wait(0.01)
        finally:
            os._exit(0)
    try:
        while not (tmp_path / "ready").exists():
            threading.Event().wait(0.01)
        inode = path.stat().st_ino
        write(type(path)(f"/proc/{pid}/fd/77"))
        assert path.read_bytes() == OLD + NEW
        assert path.stat().st_ino == inode
    finally:
        (tmp_path / "ready").unlink()
        os.waitpid(pid, 0)

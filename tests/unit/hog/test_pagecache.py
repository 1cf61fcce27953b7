"""Where a file is page cache: asked of file systems that are here."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from oomctl.errors import UnsupportedError
from oomctl.hog import pagecache
from oomctl.hog.pagecache import find_place, refusal
from oomctl.lab import initramfs

needs_disk = pytest.mark.skipif(bool(refusal(Path("/var/tmp"), 0)), reason="no disk here")
needs_shm = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm here")


@needs_disk
def test_a_folder_on_a_disk_is_suitable():
    before = sorted(Path("/var/tmp").iterdir())
    assert refusal(Path("/var/tmp"), 1) == ""
    assert sorted(Path("/var/tmp").iterdir()) == before


@needs_shm
def test_a_tmpfs_is_refused():
    assert refusal(Path("/dev/shm"), 1) == "holds them as shmem"


@needs_disk
def test_a_disk_without_room_is_refused():
    assert refusal(Path("/var/tmp"), 1 << 62).startswith("has room for ")


@pytest.mark.parametrize("folder", ["/nowhere", "/proc/self", "/etc/passwd"])
def test_a_folder_that_takes_no_file_is_refused(folder):
    assert refusal(Path(folder), 1).startswith("cannot be used (")


def test_a_file_system_without_a_page_cache_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pagecache, "_resident", lambda _fd: 0)
    assert refusal(tmp_path, 1) == "keeps no page cache"


@needs_disk
@needs_shm
def test_the_first_suitable_folder_is_taken_tmpdir_first(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    assert find_place(1) == Path("/var/tmp")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert find_place(1) == tmp_path


@needs_shm
def test_if_none_is_suitable_each_is_named_with_its_reason(monkeypatch):
    places = [Path("/dev/shm"), Path("/proc/self")]
    monkeypatch.setattr(pagecache, "_candidates", lambda: iter(places))
    with pytest.raises(UnsupportedError) as caught:
        find_place(1)
    assert str(caught.value) == (
        "no folder keeps files as page cache for hogs of kind 'file': /dev/shm holds them as "
        "shmem, /proc/self cannot be used (No such file or directory); set TMPDIR to a folder on "
        "a disk, or give the hog the path of an existing file"
    )


def test_a_file_system_without_nameless_files_is_suitable(monkeypatch, tmp_path):
    """9p, on which the lab's folder is, has none."""
    real = os.open

    def without(path, flags, *rest, **more):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(tempfile._os, "open", without)
    assert "cannot be used" not in refusal(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_the_lab_mounts_its_folder():
    script = initramfs.guest_files(None, look=False)["init"].decode()
    assert f'"$disk" {pagecache.LAB_DISK} ' in script

"""Scratch folders: removed at the end, or by the next oomctl after a kill."""

import errno
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from oomctl import cache
from oomctl.errors import OomctlError

HOLD = """
import sys, time
from oomctl import cache
with cache.scratch("held-") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))


@pytest.fixture
def holder():
    """Another process with a folder of its own."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    with process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_folder_is_gone_with_its_block():
    with cache.scratch("x-") as folder:
        (folder / "file").touch()
    assert not folder.exists()


def test_a_folder_is_gone_though_a_program_still_writes_into_it(monkeypatch):
    left = []

    def rmtree(path, ignore_errors):
        left.append(path)
        if len(left) == 3:
            path.rmdir()

    with cache.scratch("x-") as folder:
        monkeypatch.setattr(cache.shutil, "rmtree", rmtree)
    assert left == [folder] * 3
    assert not folder.exists()


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_a_folder_is_an_error_with_a_place(monkeypatch):
    def full(**_words):
        raise FULL

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with (
        pytest.raises(OomctlError, match=r"cannot make a folder in .*scratch: No space left on de"),
        cache.scratch("x-"),
    ):
        pass
    usage = cache.shutil.disk_usage(cache.folder())._replace(free=5 << 20)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(OomctlError, match=r"a kernel needs 512M below .*, and 5M are free; free"):
        cache.require_space(512 << 20, "fetching a kernel")


def test_on_a_full_disk_a_lock_is_a_lock(monkeypatch):
    def full(*_words):
        raise FULL

    monkeypatch.setattr(cache.os, "write", full)
    with cache.locked("x", doing="this", patience=1):
        pass


def test_the_folder_of_a_living_oomctl_stays_that_of_a_killed_one_goes(holder):
    process, folder = holder
    with cache.scratch("x-"):
        assert (folder / "file").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.exists()
    with cache.scratch("x-"):
        assert not folder.exists()


def many(script, count=4):
    """Run a script in several processes at once; return their stderr."""
    words = [sys.executable, "-c", f"from oomctl import cache\n{script}"]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(count)]
    said = [each.communicate(timeout=120)[1] for each in running]
    return "".join(said) + "".join(f"exit {each.returncode}" for each in running if each.returncode)


def test_several_make_and_remove_their_folders_at_once(tmp_path):
    script = """
for _ in range(400):
    with cache.scratch("x-") as folder:
        (folder / "a").write_text("x")
        assert (folder / "a").read_text() == "x"
"""
    assert many(script) == ""
    assert [path.name for path in tmp_path.glob("scratch/*")] == ["lock"]


def test_a_folder_in_use_is_not_removed():
    """Each makes, uses and removes the same few folders, as checkouts that share a cache do."""
    script = """
import contextlib, os, random
chance = random.Random(os.getpid())
used = 0
for _ in range(400):
    entry = cache.folder("entries") / chance.choice("abc")
    match chance.randrange(3):
        case 0:
            with cache.scratch("new-") as folder:
                (folder / "new").mkdir()
                for name in "12":
                    (folder / "new" / name).write_text("x")
                with contextlib.suppress(OSError):  # it is there
                    (folder / "new").rename(entry)
        case 1:
            cache.remove_unused(entry)
        case 2:
            with cache.in_use(entry) as there:
                for name in "1212" if there else "":
                    assert (entry / name).read_text() == "x"
                    used += 1
assert used
"""
    assert many(script) == ""


def test_what_is_used_stays_for_the_next_time(tmp_path):
    entry = tmp_path / "entry"
    entry.mkdir()
    with cache.in_use(entry) as one, cache.in_use(entry) as other:
        assert one
        assert other
        assert not cache.remove_unused(entry)
        assert entry.exists()
    assert cache.remove_unused(entry)
    assert not entry.exists()
    assert cache.remove_unused(entry)
    with cache.in_use(entry) as there:
        assert not there


def test_a_folder_that_replaced_the_opened_one(tmp_path, monkeypatch):
    entry = tmp_path / "entry"
    entry.mkdir()
    lock = cache._lock

    def replaced(fd, how):
        entry.rename(tmp_path / "away")
        entry.mkdir()
        return lock(fd, how)

    monkeypatch.setattr(cache, "_lock", replaced)
    with cache.in_use(entry) as there:
        assert not there


WAIT = """
import time
with cache.locked("x", doing="asleep", patience=60):
    print(flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner():
    """Another process that has a lock."""
    words = [sys.executable, "-c", f"from oomctl import cache\n{WAIT}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_waiting_for_a_lock_names_its_holder_and_ends(owner, capsys, tmp_path):
    with (
        pytest.raises(OomctlError) as caught,
        cache.locked("x", doing="here", patience=1.5),
    ):
        pass
    owner_text = f"another oomctl (pid {owner.pid}, asleep)"
    assert capsys.readouterr().err == f"oomctl: waits for {owner_text}\n"
    assert str(caught.value).startswith(f"{owner_text} has held {tmp_path}/x/lock for ")
    assert f"`fuser -v {tmp_path}/x/lock`" in caught.value.hint


def test_a_lock_is_free_again_after_its_owner_whatever_ended_that(owner, capsys):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    for _ in range(2):
        with cache.locked("x", doing="here", patience=1):
            pass
    assert capsys.readouterr().err == ""


def test_a_lock_that_is_free_soon_is_not_worth_a_word(owner, capsys):
    threading.Timer(0.3, owner.kill).start()
    with cache.locked("x", doing="here", patience=60):
        pass
    assert capsys.readouterr().err == ""


def test_a_program_dies_with_its_parent(tmp_path):
    out = tmp_path / "pid"
    words = ("sh", "-c", f"echo $$ >{out}; exec sleep 60")
    script = f"from oomctl.proc import programs; programs.run(*{words!r})"
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 20
    while not (out.exists() and out.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    pid = int(out.read_text())
    while state(pid) != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"

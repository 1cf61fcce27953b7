"""Machines that are restored from a saved one instead of booted."""

import hashlib
import json
import os
import time

import pytest

from tests.lab.guests import MARKS, lab

pytestmark = MARKS

RESTORED = b"a saved machine was restored"
MANY = int(os.environ.get("OOMCTL_RESTORES", "3"))
OWN = "cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id; date +%s"
SAME = (
    "cat /proc/mounts /proc/cmdline /proc/swaps; cut -d' ' -f1 /proc/modules; "
    "ls /sys/fs/cgroup /proc/sys/vm /sys/kernel/tracing/events/oom; ps -o comm= --ppid 1"
)


@pytest.fixture(scope="module")
def place(own_cache, tmp_path_factory):
    """A machine of an odd size, of which no other test has saved one; its folder in the cache."""
    before = {*own_cache.glob("machines/*")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OOMCTL_CACHE", str(own_cache))
        assert run("true").returncode == 0
    (made,) = {*own_cache.glob("machines/*")} - before
    return made


def run(script, *words):
    return lab("-v", "--memory", "1100M", *words, "--", "sh", "-c", script)


@pytest.mark.timeout(600 + 20 * MANY)
def test_many_differ_in_random_numbers_and_the_time_only(place):
    ids, same = set(), set()
    for _ in range(MANY):
        done = run(f"{OWN}; {SAME}")
        assert RESTORED in done.stderr
        uuid, boot_id, now, *rest = done.stdout.decode().splitlines()
        assert abs(int(now) - time.time()) < 30
        ids |= {uuid, boot_id}
        same.add(tuple(rest))
    assert len(ids) == 2 * MANY
    assert len(same) == 1


def test_folders_and_a_status_are_those_of_the_command(place, tmp_path):
    folder = tmp_path / "a, b"
    folder.mkdir()
    words = ("--rwdir", str(folder))
    assert RESTORED not in run("true", *words).stderr  # one more folder is another machine
    done = run(f"echo there >'{folder}/file'; exit 7", *words)
    assert RESTORED in done.stderr
    assert done.returncode == 7
    assert (folder / "file").read_text() == "there\n"


def test_its_panic_is_seen(place):
    done = run("echo c >/proc/sysrq-trigger")
    assert RESTORED in done.stderr
    assert done.returncode == 125
    assert b"sysrq triggered crash" in done.stderr


def test_one_that_is_not_wanted_or_would_not_show_its_boot_is_not_restored(place):
    for word in ("--no-restore", "--console"):
        assert RESTORED not in run("true", word).stderr


@pytest.mark.parametrize("is_told", [False, True])
def test_a_damaged_one_is_made_anew(place, is_told):
    """By its hash, or, if that is right, since QEMU cannot load it."""
    state = place / "state"
    state.write_bytes(state.read_bytes()[: 30 << 20])
    if is_told:
        record = json.loads((place / "machine.json").read_text())
        record["sha256"] = hashlib.sha256(state.read_bytes()).hexdigest()
        (place / "machine.json").write_text(json.dumps(record))
    done = run("true")
    assert done.returncode == 0
    assert (b"a saved machine did not come up: " in done.stderr) == is_told
    assert RESTORED in run("true").stderr

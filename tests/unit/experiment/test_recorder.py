"""The flight recorder on a fake hierarchy and our own process."""

import os
import re
import select
from dataclasses import replace

import pytest

from oomctl.errors import UsageError
from oomctl.experiment import recorder
from oomctl.experiment.recorder import FlightRecorder
from oomctl.experiment.sampling import sample_again
from oomctl.experiment.subtree import read_subtree
from oomctl.oom.kill import OomKill

M = 1 << 20


@pytest.fixture
def top(cgroupfs):
    """The cgroup /t of a fake hierarchy, with this process in /t/in."""
    folder = cgroupfs.directory / "t" / "in"
    folder.mkdir(parents=True)
    for each, procs in ((folder.parent, ""), (folder, f"{os.getpid()}\n")):
        (each / "cgroup.procs").write_text(procs)
        (each / "memory.max").write_text("67108864\n")
        (each / "memory.current").write_text("1048576\n")
        (each / "memory.events").write_text("oom_kill 0\n")
    return cgroupfs.at("/t")


def kill(**more):
    own = OomKill(1 << 62, os.getpid(), "x/../y", "victim", 9 * M, cgroup="/t/in", memcg="/t")
    return replace(own, **more)


def test_a_sample_reads_again_only_what_changes(top):
    first = read_subtree(top, rollup=False)
    (top.directory / "in" / "memory.current").write_text("5\n")
    again = sample_again(top, first)
    assert [each.usage for each in again.cgroups] == [M, 5]
    assert [each.task.pid for each in again.tasks] == [os.getpid()]
    (member,) = again.tasks
    assert member.task.rss == member.anon + member.file + member.shmem
    assert abs(member.task.rss - first.tasks[0].task.rss) < 64 * M


def test_a_task_that_comes_or_goes_is_noticed(top):
    procs = top.directory / "in" / "cgroup.procs"
    first = read_subtree(top, rollup=False)
    procs.write_text("")
    without = sample_again(top, first)
    assert without.tasks == ()
    procs.write_text(f"{os.getpid()}\n{1 << 30}\n")
    assert [each.task.pid for each in sample_again(top, without).tasks] == [os.getpid()]


def test_other_cgroups_must_be_read_in_full(top):
    first = read_subtree(top, rollup=False)
    (top.directory / "new").mkdir()
    assert sample_again(top, first) is None
    (top.directory / "new").rmdir()
    assert sample_again(top, replace(first, cgroups=first.cgroups[:1])) is None


def test_a_kill_in_a_cgroup_without_a_sample_is_counted(cgroupfs, top, tmp_path):
    with FlightRecorder(cgroupfs, None, tmp_path / "new") as flight:
        assert flight.record(kill(cgroup="/later")) is None
        assert (flight.missed, flight.files) == (1, [])


def test_a_kill_is_written_as_a_scenario(cgroupfs, top, tmp_path):
    folder = tmp_path / "new"
    with FlightRecorder(cgroupfs, top, folder) as flight:
        path = flight.record(kill())
        assert flight.record(kill(role="sharer")) is None
        assert flight.record(kill(cgroup="/other")) is None
        assert flight.missed == 0
        # members of the same group's OOM have one file
        assert flight.record(kill(group="/t")) is None
        other = flight.record(kill(group="/t", invoker_pid=5))
    assert path == folder / "kill-1-x_.._y.toml"
    assert other == folder / "kill-2-x_.._y.toml"
    assert re.search(r"before the OOM killer took x/../y", path.read_text())
    assert flight.files == [path, other]
    with FlightRecorder(cgroupfs, top, folder) as flight:
        assert flight.record(kill()).name.startswith("kill-3-")


def test_without_a_cgroup_each_in_the_root_is_kept(cgroupfs, top, tmp_path):
    with FlightRecorder(cgroupfs, None, tmp_path / "new") as flight:
        assert flight.record(kill()).exists()
        (top.directory / "in" / "cgroup.procs").unlink()


def test_a_folder_with_other_files_is_refused(cgroupfs, top, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "kill-1-a.toml").write_text("")
    (folder / "notes\x1b.txt").write_text("")
    with pytest.raises(UsageError, match=r"other files, such as notes\\x1b\.txt"):
        FlightRecorder(cgroupfs, top, folder).__enter__()
    for wrong in (folder / "kill-1-a.toml", tmp_path / "no" / "folder"):
        with pytest.raises(UsageError, match="--record"):
            FlightRecorder(cgroupfs, top, wrong).__enter__()
    assert sorted(each.name for each in folder.iterdir()) == ["kill-1-a.toml", "notes\x1b.txt"]


def test_samples_are_taken_by_the_clock_and_by_events(cgroupfs, top, tmp_path, monkeypatch):
    now = 10**12
    monkeypatch.setattr(recorder.time, "monotonic_ns", lambda: now)
    cost = iter(range(0, 10**12, 10**9))  # each sample takes a second of CPU
    monkeypatch.setattr(recorder.time, "thread_time_ns", lambda: next(cost))
    with FlightRecorder(cgroupfs, top, tmp_path / "new") as flight:
        (fd,) = flight.descriptors()
        assert (flight.samples, flight.due()) == (1, 49.0)  # 2 % of a CPU
        now += 8 * 10**9
        flight.tick([(fd, select.POLLPRI)])
        assert flight.samples == 1
        assert flight.due() == 1.0  # 10 %
        now += 10**9
        flight.tick([])
        assert flight.samples == 2
        assert flight.due() == 49.0


def test_what_is_kept_is_bounded(cgroupfs, top, tmp_path, monkeypatch):
    now = 10**12
    monkeypatch.setattr(recorder.time, "monotonic_ns", lambda: now)
    with FlightRecorder(cgroupfs, top, tmp_path / "new") as flight:
        for _ in range(50):
            now += 10**9
            flight._next_ns = 0
            flight.tick([])
        kept = flight._states["/t"]
        assert len(kept) <= 6
        assert kept[0].at_ns <= now - 4 * 10**9 <= kept[1].at_ns
        for _ in range(50):
            now += 10**6
            flight._next_ns = 0
            flight.tick([])
        assert len(kept) == 16

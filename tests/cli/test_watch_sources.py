"""`oomctl watch`: what tells it of kills, and what it does without tracing."""

import json

import pytest

from oomctl.errors import UnsupportedError
from oomctl.experiment import sources
from tests.cli.command import refused, run
from tests.fake_kills import NO_TRACING, FakeLog, FakeObserver, kill
from tests.klogs import Log, group_log


def test_without_tracing_the_kernel_log_is_read_and_it_is_said(monkeypatch, cgroupfs):
    monkeypatch.setattr(sources, "Observer", FakeObserver(NO_TRACING))
    text = "Out of memory: Killed process 7 (hog) total-vm:1kB, anon-rss:4kB, file-rss:0kB, "
    monkeypatch.setattr(sources, "Kmsg", FakeLog(text + "shmem-rss:0kB, UID:0"))
    result = run("watch", "--count", 1, "-f", "jsonl")
    assert result.exit_code == 0
    assert "kernel log instead: this kernel has no BTF" in result.stderr
    shown = json.loads(result.stdout.splitlines()[0])
    assert (shown["killed"]["pid"], shown["source"]) == (7, "kernel log")


KILLED_7 = (
    "Memory cgroup out of memory: Killed process 7 (hog) total-vm:1kB, anon-rss:4kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
)


@pytest.mark.parametrize(("events", "source"), [([], "kernel log"), (kill(7, 1), "ring buffer")])
def test_a_kill_that_silent_tracing_missed_is_told_by_the_log_once(
    monkeypatch, cgroupfs, events, source
):
    monkeypatch.setattr(sources, "Observer", FakeObserver(events))
    monkeypatch.setattr(sources, "Kmsg", FakeLog(KILLED_7))
    lines = run("watch", "--timeout", "0.05", "-f", "jsonl").stdout.splitlines()
    shown, _summary = [json.loads(line) for line in lines]
    assert (shown["killed"]["pid"], shown["source"]) == (7, source)


def test_the_kernel_log_tells_each_member_of_a_group_once_and_its_cgroup(monkeypatch, cgroupfs):
    (cgroupfs.directory / "g" / "a").mkdir(parents=True)
    texts = [record.text for record in group_log()]
    monkeypatch.setattr(sources, "Observer", FakeObserver(NO_TRACING))
    monkeypatch.setattr(sources, "Kmsg", FakeLog(*texts))
    lines = run("watch", "--timeout", "0.01", "-f", "jsonl").stdout.splitlines()
    *shown, last = [json.loads(line) for line in lines]
    assert last["kill_counts"]["kernel_log"] == 3
    assert [(one["killed"]["pid"], one["cgroup"], one["memcg"]) for one in shown] == [
        (7, "/g/a", "/g"),
        (8, "/g", "/g"),
    ]
    assert [one["invoker"]["pid"] for one in shown] == [166, 166]
    monkeypatch.setattr(sources, "Kmsg", FakeLog(*texts))
    result = run("watch", "--cgroup", "/g/a", "--timeout", "0.01")
    assert result.stdout.count("killed") == 1
    assert "hog (pid 8) was killed somewhere in the group /g" in result.stderr


def test_since_boot_shows_first_what_the_log_holds(monkeypatch, cgroupfs):
    monkeypatch.setattr(sources, "Observer", FakeObserver(kill(8, 1)))
    said = Log()
    said.invoked()
    said.chose(7, cgroup="/g/a", oom_memcg="/g")
    said.killed(7)
    log = FakeLog(before=[record.text for record in said.records])
    monkeypatch.setattr(sources, "Kmsg", log)
    result = run("watch", "--since", "boot", "--count", 1, "-f", "jsonl")
    early, late, last = map(json.loads, result.stdout.splitlines())
    assert (early["killed"]["pid"], early["memcg"], early["source"]) == (7, "/g", "kernel log")
    assert (late["killed"]["pid"], late["source"]) == (8, "ring buffer")
    # neither counted nor shown by --count
    assert (last["shown"], last["kill_counts"]["kernel_log"], last["lost"]) == (1, 0, 0)
    assert "the kernel log lacks its first 3 records" in result.stderr
    for words, besides in (((), ""), (("--since", "boot"), ", besides 1 from before")):
        monkeypatch.setattr(sources, "Observer", FakeObserver(()))
        monkeypatch.setattr(sources, "Kmsg", FakeLog(before=log.before))
        result = run("watch", "--timeout", "0.01", *words)
        assert ("hog:7" in result.stdout) is bool(words)
        assert f"kills shown 0{besides}, counted: bpf 0, kernel log 0" in result.stderr


def test_without_either_it_is_refused(monkeypatch, cgroupfs):
    def unreadable(since_boot):
        raise UnsupportedError("cannot read the kernel log", "be root")

    monkeypatch.setattr(sources, "Observer", FakeObserver(NO_TRACING))
    monkeypatch.setattr(sources, "Kmsg", unreadable)
    refused(run("watch"), 3, "cannot read the kernel log")

"""`oomctl watch`: how it shows kills, and which."""

import json
import os
import re
import signal
import threading

import pytest

from oomctl.cli.output import Output
from oomctl.experiment import sources
from oomctl.report import kills
from tests.cli.command import refused, run
from tests.fake_kills import FakeObserver, kill
from tests.schemas import validator

TIME = r"\d\d:\d\d:\d\d\.\d{3}|\d\d-\d\d \d\d:\d\d"
"""These kills are as old as the boot: of today, or of an earlier day."""


@pytest.fixture
def sees(monkeypatch, cgroupfs):
    """Let watch see kills of PIDs, each in a cgroup of this name."""

    def prepare(*kills, lost=0):
        events = []
        for pid, name in kills:
            path = cgroupfs.directory / name
            path.mkdir(exist_ok=True, parents=True)
            caller = cgroupfs.directory / "caller"
            caller.mkdir(exist_ok=True)
            events += kill(pid, path.stat().st_ino, caller.stat().st_ino)
        monkeypatch.setattr(sources, "Observer", FakeObserver(events, lost))

    return prepare


def test_a_kill_is_one_line(sees):
    sees((7, "a"))
    result = run("watch", "--count", 1, "-w")
    assert result.exit_code == 0, result.output
    header, line = result.stdout.splitlines()
    assert header == kills.HEADER.strip()
    time, *cells = re.split(" {2,}", line)
    assert re.fullmatch(TIME, time)
    assert cells == [
        *("caller:99", "hog:7", "victim", "64M", "2", "memcg", "5.00 ms", "32M", "32M"),
        *("/a", "/caller", "/a"),
    ]


def test_a_kill_is_a_block_with_three_cgroups(sees):
    sees((7, "a"))
    head, *lines = run("watch", "--count", 1).stdout.splitlines()
    time, head = head.split("  ", 1)
    assert re.fullmatch(TIME, time)
    assert head == "hog:7 killed (victim), rss 64M, exit after 5.00 ms"
    assert lines == [
        "  oom_memcg  /a  32M of 32M, swap 1M of max",
        "  invoker    /caller  caller:99, order 2",
        "  victim     /a",
    ]


def test_a_kill_is_red_on_a_terminal(sees, monkeypatch):
    monkeypatch.setattr(Output, "width", 80)
    monkeypatch.setattr("oomctl.console.has_colours", lambda: True)
    sees((7, "a"))
    assert "\x1b[31mhog:7 killed (victim)\x1b[0m, rss" in run("watch", "--count", 1).stdout
    monkeypatch.setattr("oomctl.console.has_colours", lambda: False)
    sees((7, "a"))
    assert "\x1b" not in run("watch", "--count", 1).stdout


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_kill_in_other_forms_is_that_of_a_report(sees, form):
    def told(result):
        """Its lines without the times, which may differ by a millisecond."""
        return [line.split(",", 2)[2] for line in result.stdout.splitlines()]

    sees((7, "a"))
    shown = told(run("watch", "--count", 1, "-f", form))
    again = told(run("report", "--last", "-f", form))
    assert again == shown[: len(again)]
    assert len(again) == {"json": 1, "csv": 2}[form]


def test_a_watch_has_several_forms_and_files_at_its_end(sees, tmp_path):
    sees((7, "a"), (9, "b"))
    page, lines, rows = (tmp_path / name for name in ("page.html", "lines.jsonl", "rows.csv"))
    given = ("-f", "table", "-f", f"html={page}", "-f", f"jsonl={lines}", "-f", f"csv={rows}")
    done = run("watch", "--count", 2, *given)
    assert "counted: " in done.stderr
    kinds = [json.loads(line)["kind"] for line in lines.read_text().splitlines()]
    assert kinds == ["kill", "kill", "summary"]
    assert len(rows.read_text().splitlines()) == 3
    assert "2 tasks died" in page.read_text()
    again = run("report", lines, "-f", "html").stdout
    assert [*again.split("<h2>")[1:]] == page.read_text().split("<h2>")[1:]


def test_two_forms_of_a_watch_have_two_places(sees):
    sees((7, "a"))
    refused(run("watch", "-f", "table", "-f", "csv"), 2, "two forms go to stdout")


def test_a_kill_is_one_object(sees, cgroupfs):
    sees((7, "a"))
    shown, last = map(json.loads, run("watch", "--count", 1, "-f", "jsonl").stdout.splitlines())
    for line in (shown, last):
        validator("watch-schema.json").validate(line)
    assert (last["kind"], last["shown"], last["kill_counts"]["tracing"]) == ("summary", 1, 1)
    number = (cgroupfs.directory / "a").stat().st_ino
    caller = (cgroupfs.directory / "caller").stat().st_ino
    assert shown.pop("time")
    assert shown == {
        "at_ns": 21,
        "invoker": {"pid": 99, "comm": "caller", "cgroup": "/caller", "cgroup_id": caller},
        "killed": {"pid": 7, "comm": "hog"},
        "kind": "kill",
        "role": "victim",
        "cgroup": "/a",
        "cgroup_id": number,
        "memcg": "/a",
        "memcg_id": number,
        "memcg_memory": {
            "usage_bytes": 32 << 20,
            "limit_bytes": 32 << 20,
            "swap_bytes": 1 << 20,
            "swap_limit_bytes": None,
            "stat": None,
        },
        "group": None,
        "oom_score_adj": 0,
        "order": 2,
        "constraint": "memcg",
        "rss_bytes": 64 << 20,
        "exited_after_ns": 5_000_000,
        "source": "ring buffer",
    }


LONG = "/".join(["a-long-name.slice"] * 8)


@pytest.mark.parametrize("width", [30, 60, 80, 205, 400])
@pytest.mark.parametrize("name", ["a", LONG])
def test_on_a_terminal_it_fits(sees, monkeypatch, width, name):
    sees((7, name))
    monkeypatch.setattr(Output, "width", width)
    result = run("watch", "--count", 1)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= (2 if width > 200 else 10)
    words = " ".join(" ".join(lines).split())
    for word in ("caller:99", "hog:7", "64M"):
        assert word in words
    assert (f"/{name}" in words) == (width == 400 or name == "a")


def test_without_a_terminal_paths_are_whole(sees):
    sees((7, LONG))
    assert f"  oom_memcg  /{LONG}\n" in run("watch", "--count", 1).stdout


def test_a_caller_whose_cgroup_is_gone_has_its_number(monkeypatch, cgroupfs):
    monkeypatch.setattr(sources, "Observer", FakeObserver(kill(7, 1 << 40, 1 << 41)))
    line = run("watch", "--count", 1, "-w").stdout
    assert line.endswith(f"  unknown id {1 << 41}  unknown id {1 << 40}\n")


def test_only_a_subtree(sees):
    sees((7, "ab"), (8, "a"))
    result = run("watch", "--cgroup", "/a", "--count", 1, "-f", "jsonl")
    assert json.loads(result.stdout.splitlines()[0])["killed"]["pid"] == 8


def test_the_root_is_the_whole_machine(sees):
    sees((7, "a"))
    assert "hog:7" in run("watch", "--cgroup", "/", "--count", 1).stdout


@pytest.mark.parametrize(("more", "code"), [((), 0), (("--count", 2), 1), (("--count", 1), 0)])
def test_time_ends_it(sees, more, code):
    sees((7, "a"))
    result = run("watch", "--timeout", "0.01", *more)
    assert result.exit_code == code
    assert result.stdout.count("hog:7 killed") == 1


def test_what_was_lost_is_said(sees):
    sees((7, "a"), lost=3)
    assert "3 records were lost before they could" in run("watch", "--timeout", "0.01").stderr
    sees((7, "a"), lost=1)
    assert "1 record was lost before it could" in run("watch", "--timeout", "0.01").stderr


def test_ctrl_c_ends_it(sees):
    sees()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    result = run("watch")
    timer.join()
    assert result.exit_code == 130
    assert "kills shown 0, counted: bpf 0, kernel log 0" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--count", 0),
        ("--timeout", "nan"),
        ("--timeout", "99999h"),
        ("--cgroup", "/no/such"),
        ("--cgroup", ""),
    ],
)
def test_a_wrong_option_is_refused(sees, wrong):
    sees()
    refused(run("watch", *wrong), 2)

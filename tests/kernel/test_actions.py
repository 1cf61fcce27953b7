"""Steps of a scenario during its run, on a real kernel: each has its effect, and is undone."""

import json
from pathlib import Path

import pytest

MGLRU = Path("/sys/kernel/mm/lru_gen/enabled")

HOGS = """
[hog.large]
size = "32M"
[hog.medium]
size = "16M"
[hog.small]
size = "8M"
"""


@pytest.fixture
def run(oomctl, tmp_path):
    """Run a scenario; return its exit code, its outcome, and the fate of each hog by name."""

    def made(text):
        path = tmp_path / "x.toml"
        path.write_text(text)
        result = oomctl("run", str(path), "-f", "json")
        assert result.stdout, result.stderr
        (one,) = json.loads(result.stdout)["runs"][0]["rounds"]
        found = one["outcome"]
        return result.exit_code, found, {row["name"]: row["fate"] for row in found["tasks"]}

    return made


def done(outcome):
    assert [one for one in outcome["actions"] if one["failed"]] == []
    return [one["do"] for one in outcome["actions"]]


def test_a_limit_that_is_tightened_kills(run):
    code, outcome, fates = run("""
        call = []
        [hog.large]
        size = "32M"
        [hog.medium]
        size = "16M"
        oom_score_adj = -1000  # the writer may choose again before the victim's memory is back
        [[step]]
        cgroup.".".memory.max = "30M"
        [expect]
        verdict = "killed"
        victims = ["large"]
        events.oom_kill = 1
    """)
    assert code == 0, outcome["checks"]
    assert done(outcome) == ["write"]
    assert fates == {"large": "oom-killed", "medium": "survived"}


def test_a_limit_that_is_tightened_while_a_hog_fills(run):
    """It is stopped at its rate of 16M a second, long before it has its size."""
    code, outcome, fates = run("""
        call = []
        [hog.slow]
        size = "256M"
        rate = "16M"
        may_fail = true
        [[step]]
        after = "500ms"
        cgroup.".".memory.max = "2M"
        [expect]
        verdict = "killed"
        victims = ["slow"]
    """)
    assert code == 0, outcome["checks"]
    assert done(outcome) == ["write"]
    assert fates["slow"] == "oom-killed"


def test_a_frozen_victim_dies_and_the_others_are_thawed(run):
    code, outcome, fates = run(f"""
        {HOGS}
        [[step]]
        freeze = "."
        [[step]]
        after = "large.marked"
        thaw = "."
        [[step]]
        after = "large.exited"
        kill = "small"
        [expect]
        verdict = "killed"
        victims = ["large"]
    """)
    assert code == 0, outcome["checks"]
    assert done(outcome) == ["write", "write", "kill"]
    assert fates == {"large": "oom-killed", "medium": "survived", "small": "killed by a step"}


def test_the_prediction_knows_what_was_moved_killed_and_started(run):
    code, outcome, fates = run("""
        [cgroup.left]
        [cgroup.right]
        [hog.large]
        size = "32M"
        cgroup = "left"
        [hog.medium]
        size = "16M"
        cgroup = "right"
        [hog.late]
        size = "12M"
        cgroup = "right"
        [hog.small]
        size = "8M"
        cgroup = "right"
        [[call]]
        target = "right"
        [[call]]
        target = "right"
        [[step]]
        kill = "medium"
        move.large = "right"
        remove = "left"
        start = "late"
        [expect]
        verdict = "killed"
        victims = ["large", "late"]
    """)
    assert code == 0, outcome["checks"]
    assert done(outcome) == ["move", "remove", "kill", "start"]
    for call, victim in zip(outcome["calls"], ("large", "late"), strict=True):
        assert call["prediction"]["agrees"] is True
        assert [kill["comm"] for kill in call["kills"]] == [victim]
    assert fates["medium"] == "killed by a step"
    assert fates["small"] == "survived"


def test_a_hog_that_is_started_between_two_calls_may_be_the_second_victim(run):
    code, outcome, fates = run(f"""
        {HOGS}
        [hog.late]
        size = "24M"
        [[call]]
        [[call]]
        [[step]]
        after = "call[0].returned"
        start = "late"
        [expect]
        victims = ["large", "late"]
    """)
    assert code == 0, outcome["checks"]
    assert fates == {
        "large": "oom-killed",
        "medium": "survived",
        "small": "survived",
        "late": "oom-killed",
    }
    late = next(row for row in outcome["tasks"] if row["name"] == "late")
    assert late["filled_bytes"] >= 24 << 20
    assert late["rss_bytes"] >= 24 << 20


def test_a_stopped_hog_dies_and_a_continued_one_fills(run):
    code, outcome, fates = run(f"""
        {HOGS}
        [[step]]
        stop = ["large", "small"]
        [[step]]
        after = "call[0].returned"
        continue = "small"
        [expect]
        victims = ["large"]
    """)
    assert code == 0, outcome["checks"]
    assert done(outcome) == ["stop", "stop", "continue"]
    assert fates["small"] == "survived"


def test_what_the_kernel_refuses_ends_the_run_or_is_a_result(run):
    remove = f"""
        {HOGS}
        [[step]]
        after = "call[0].returned"
        remove = "medium"
    """
    code, outcome, _fates = run(f"{remove}may_fail = true")
    assert code == 0
    assert "Device or resource busy" in outcome["actions"][0]["failed"]
    code, outcome, _fates = run(remove)
    assert code != 0
    assert "Device or resource busy" in outcome["failure"]


@pytest.mark.skipif(not MGLRU.exists(), reason="this kernel has no MGLRU")
def test_mglru_and_a_sysctl_are_switched_and_put_back(run):
    before = MGLRU.read_text(), Path("/proc/sys/vm/swappiness").read_text()
    on = before[0].strip()
    other = "0x0000" if on != "0x0000" else "0x0007"
    code, outcome, fates = run(f"""
        {HOGS}
        [[step]]
        after = "0s"
        sysfs."{MGLRU}" = "{other}"
        sysctl.vm.swappiness = 1
        [[step]]
        after = "large.filled"
        sysfs."{MGLRU}" = "{on}"
        [[step]]
        after = "large.filled"
        delay = "10ms"
        sysfs."{MGLRU}" = "{other}"
        [expect]
        victims = ["large"]
    """)
    assert code == 0, outcome["checks"]
    assert sorted(done(outcome)) == ["sysctl", "sysfs", "sysfs", "sysfs"]
    assert (MGLRU.read_text(), Path("/proc/sys/vm/swappiness").read_text()) == before
    assert fates["large"] == "oom-killed"

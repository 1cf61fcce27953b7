"""The trace: what Perfetto needs of it."""

import json

import pytest

from oomctl.report import RENDERERS
from tests.outcomes import CALL_AT, OUTCOMES


def events(name):
    return json.loads(RENDERERS["trace"](OUTCOMES[name]))["traceEvents"]


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_event_has_what_its_phase_needs(name):
    needed = {
        "M": {"name", "pid", "args"},
        "X": {"name", "ts", "dur", "pid", "tid"},
        "i": {"name", "ts", "s", "pid", "tid"},
        "C": {"name", "ts", "pid", "args"},
    }
    for event in events(name):
        assert needed[event["ph"]] <= event.keys(), event


@pytest.mark.parametrize("name", OUTCOMES)
def test_times_are_in_order_and_no_duration_is_negative(name):
    timed = [event for event in events(name) if "ts" in event]
    assert [event["ts"] for event in timed] == sorted(event["ts"] for event in timed)
    assert all(event.get("dur", 0) >= 0 for event in timed)


@pytest.mark.parametrize("name", OUTCOMES)
def test_spans_of_one_track_lie_apart_or_inside_each_other(name):
    open_until: dict[int, list[float]] = {}
    for event in events(name):
        if event["ph"] == "X":
            ends = open_until.setdefault(event["tid"], [])
            while ends and ends[-1] <= event["ts"]:
                ends.pop()
            end = event["ts"] + event["dur"]
            assert not ends or end <= ends[-1] + 0.001
            ends.append(end)


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_track_has_one_name(name):
    named = [e["tid"] for e in events(name) if e["name"] == "thread_name"]
    assert len(named) == len(set(named))
    assert {e["tid"] for e in events(name) if e["ph"] in "Xi"} <= set(named)


def test_a_victim_dies_on_its_own_track_from_kill_to_exit():
    spans = {(e["name"], e["tid"]): e for e in events("observed") if e["ph"] == "X"}
    dying = spans["dying", 303]
    assert dying["ts"] == pytest.approx((CALL_AT + 8_801_000) / 1000)
    assert dying["dur"] == pytest.approx((27_000_000 - 8_801_000) / 1000)
    assert ("dying", 310) in spans


def test_reaping_is_the_reapers():
    [reaping] = [e for e in events("reaped") if e["name"] == "reaping" and e["ph"] == "X"]
    assert reaping["dur"] == pytest.approx(8000)
    assert reaping["args"] == {"pid": 405}


def test_memory_is_a_counter_for_each_cgroup():
    counters = {e["name"] for e in events("observed") if e["ph"] == "C"}
    assert counters == {f"memory.current {c}" for c in (".", "./small", "./medium", "./large")}

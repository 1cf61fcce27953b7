"""The trace: what Perfetto needs of it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.enums import Phase
from oomctl.oom.timeline import Stamp, Timeline
from oomctl.report import RENDERERS
from oomctl.report.trace import Span, Track, lanes
from tests.outcomes import CALL_AT, TREE, Kill, M, hog, outcome, report
from tests.outcomes import OUTCOMES as ONE_BY_ONE

CALLERS = (901, 902, 303, 904)


def at_once():
    """Four callers that wait for oom_lock; the first kills the third, which is `large`."""
    calls = []
    for turn, pid in enumerate(CALLERS):
        locked, unlocking = CALL_AT + turn * 10_000, CALL_AT + turn * 10_000 + 9_000
        kills = (Kill(303, "large", 64 * M), Kill(302, "medium", M)) if turn == 0 else ()
        one = report(1, *kills, began=CALL_AT + turn, took=unlocking - CALL_AT + 500)
        stamps = [
            Stamp("call", CALL_AT + turn),
            Stamp("locked", locked + turn, pid),
            *(Stamp("killed", locked + 100 + n, kill.pid) for n, kill in enumerate(kills)),
            Stamp("unlocking", unlocking, pid),
            *(Stamp("exited", CALL_AT + 10**6 + n, kill.pid) for n, kill in enumerate(kills)),
        ]
        answer = replace(one.result, caller=pid)
        calls.append(replace(one, result=answer, timeline=Timeline(tuple(stamps))))
    return outcome(*calls, tasks=(*TREE[:2], hog(303, "large", M, "oom-killed", 0)))


def by_another():
    """What runs the OOM killer is a worker of the kernel that begins when the call ends."""
    one = report(0, Kill(303, "large", M), began=CALL_AT, took=10_000)
    stamps = (
        Stamp("call", CALL_AT),
        Stamp("locked", CALL_AT + 5_000, 33),
        Stamp("killed", CALL_AT + 15_000, 303),
        Stamp("unlocking", CALL_AT + 20_000, 33),
    )
    return outcome(replace(one, result=replace(one.result, caller=7), timeline=Timeline(stamps)))


OUTCOMES = {**ONE_BY_ONE, "at-once": at_once(), "by-another": by_another()}


def events(name):
    return json.loads(RENDERERS["trace"](OUTCOMES[name]))["traceEvents"]


def named(name):
    """Return the tracks by name."""
    found = [e for e in events(name) if e["name"] == "thread_name"]
    return {e["args"]["name"]: e["tid"] for e in found}


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
    timed = [(e["tid"], e["ts"], e["dur"]) for e in events(name) if e["ph"] == "X"]
    assert_nested([(tid, round(ts * 1000), round((ts + dur) * 1000)) for tid, ts, dur in timed])


def assert_nested(spans):
    """Viewers drop what begins inside of another and ends after it; times are in ns."""
    open_until: dict[object, list[int]] = {}
    for track, start, end in spans:
        ends = open_until.setdefault(track, [])
        while ends and ends[-1] <= start:
            ends.pop()
        assert not ends or end <= ends[-1]
        ends.append(end)


times = st.integers(0, 30)
spans = st.builds(
    lambda track, start, length: Span(track, "x", start, start + length),
    st.sampled_from([Track("caller", 1), Track("task", 1), Track("task", 2)]),
    times,
    times,
)


@given(st.lists(spans))
def test_whatever_overlaps_comes_into_lanes(some):
    found = list(lanes(some))
    key = repr
    assert sorted((span for _lane, span in found), key=key) == sorted(some, key=key)
    assert_nested([((span.track, lane), span.start, span.end) for lane, span in found])


def test_callers_at_once_have_a_track_each():
    tracks = named("at-once")
    calls = [e["tid"] for e in events("at-once") if e["name"] == "bpf_out_of_memory()"]
    assert calls == [tracks[f"caller (pid {pid})"] for pid in CALLERS]
    held = [e["tid"] for e in events("at-once") if e["name"] == "out_of_memory()"]
    assert held == calls
    assert len(set(calls)) == len(CALLERS)


def test_a_caller_that_dies_has_a_track_for_each():
    tracks = named("at-once")
    assert tracks["caller (pid 303)"] != tracks["large (pid 303)"] == 303


def test_a_worker_that_runs_the_oom_killer_for_the_caller_has_a_track():
    (held,) = [e for e in events("by-another") if e["name"] == "out_of_memory()"]
    assert held["tid"] == named("by-another")["pid 33"] != named("by-another")["caller (pid 7)"]


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_track_has_one_name(name):
    found = [e for e in events(name) if e["name"] == "thread_name"]
    tids = [e["tid"] for e in found]
    assert len(tids) == len(set(tids)) == len({e["args"]["name"] for e in found})
    assert {e["tid"] for e in events(name) if e["ph"] in "Xi"} == set(tids)


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


def test_a_kill_that_no_call_made_is_on_its_victims_track():
    kill = replace(Kill(303, "large", M), at_ns=5000, exited_after_ns=2000)
    victim = replace(hog(303, "large", M, "oom-killed"), phase=Phase.FILLING, kill=kill)
    for calls in ((), (report(1),)):
        drawn = json.loads(RENDERERS["trace"](outcome(*calls, tasks=[victim])))["traceEvents"]
        instants = [(e["name"], e["ts"], e["tid"]) for e in drawn if e["ph"] == "i"]
        assert instants[:2] == [("killed", 5.0, 303), ("exited", 7.0, 303)]

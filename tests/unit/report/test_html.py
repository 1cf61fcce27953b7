"""The page as text: nothing from outside gets in as it is, and nothing is left open."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from oomctl.oom.outcome import Check, Sample
from oomctl.report import RENDERERS, RUN_RENDERERS, plot
from tests.outcomes import DEFAULT_RUN, FIRST, OUTCOMES, TARGET
from tests.rounds import RECORDS, busy, head, recorded, section

HOSTILE = "<script>alert(1)</script>\"'&\x1b]0;\udcff"
VOID = {"meta", "wbr"}


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        links = {value for name, value in attributes if name in ("src", "href")}
        assert all(link.startswith("#") for link in links)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(outcome):
    page = RENDERERS["html"](outcome)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    return page, balance.tags


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_element_is_closed_and_nothing_is_loaded(name):
    page, tags = parsed(OUTCOMES[name])
    assert not tags & {"script", "link", "img", "iframe"}
    assert "url(" not in page


def test_whatever_names_hold_stays_text():
    def spoil(task):
        return replace(task, comm=HOSTILE, cgroup=f"/{HOSTILE}")

    outcome = OUTCOMES["observed"]
    prediction = FIRST.prediction
    candidates = tuple(replace(c, task=spoil(c.task)) for c in prediction.candidates)
    report = replace(
        FIRST,
        call=replace(FIRST.call, target=f"/{HOSTILE}"),
        kills=tuple(replace(kill, comm=HOSTILE, memcg=HOSTILE) for kill in FIRST.kills),
        verdict=replace(FIRST.verdict, reason=HOSTILE),
        prediction=replace(prediction, candidates=candidates, group=HOSTILE),
        evidence=replace(FIRST.evidence, source="kernel log", no_tracing_reason=HOSTILE),
        log=tuple(record._replace(text=HOSTILE) for record in FIRST.log),
    )
    spoiled = replace(
        outcome,
        calls=(report,),
        tasks=tuple(replace(f, task=spoil(f.task), name=HOSTILE, call=0) for f in outcome.tasks),
        events={f"/{HOSTILE}": {HOSTILE: 1}},
        samples=tuple(Sample(s.at_ns, f"/{HOSTILE}", s.bytes) for s in outcome.samples),
        notes=(HOSTILE,),
        verdict=report.verdict,
    )
    page, tags = parsed(spoiled)
    assert "script" not in tags
    assert not re.search("[\x00-\x09\x0b-\x1f\udc80-\udcff]", page)
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("span", [10, 999, 10**6, 3 * 10**7, 10**10, 86_400 * 10**9])
@pytest.mark.parametrize("low", [0, -50_000_000])
def test_a_time_axis_has_a_handful_of_ticks_whatever_its_length(span, low):
    assert 2 <= len(plot.time_ticks(low, low + span)) <= 6


@pytest.mark.parametrize("size", [1, 4096, 10**6, 2**40 - 1])
def test_a_size_axis_has_a_handful_of_ticks(size):
    assert 2 <= len(plot.size_ticks(size)) <= 8


@pytest.mark.parametrize(("low", "high"), [(1, 10**9), (2 * 10**6, 5 * 10**7), (10, 10)])
def test_a_logarithmic_axis_has_a_handful_of_ticks(low, high):
    assert 1 <= len(plot.log_ticks(low, high)) <= 6


def test_a_long_line_is_thinned_but_keeps_its_peaks():
    points = [(n * 1000.0, 100.0 if n != 7_777 else 10**6) for n in range(50_000)]
    x, y = plot.Scale(0, 50_000_000), plot.Scale(0, 10**6)
    drawn = plot.Plot("t", x, y, [plot.Curve(points, 0)]).html()
    assert len(drawn) < 60_000
    assert " 0.0L" in drawn  # the peak is at the very top


def test_equal_lines_are_kept_apart():
    outcome = OUTCOMES["observed"]
    samples = [replace(s, bytes=5) for s in outcome.samples]
    page = RENDERERS["html"](replace(outcome, samples=tuple(samples)))
    heights = {float(y) for y in re.findall(r'class="curve c\d" d="M[\d.]+ ([\d.]+)', page)}
    assert len(heights) == 4


def test_a_cgroup_has_the_same_colour_on_every_page():
    few, many = plot.colours(["./a", "./b"]), plot.colours([f"./{c}" for c in "abcdefgh"])
    assert len(set(many.values())) == 8
    assert plot.colours(["./a"])["./a"] == few["./a"]


def test_a_thousand_rounds_are_less_than_500_kb():
    rounds = [("", n, busy(n, callers=2, shift=n * 1000)) for n in range(1, 1001)]
    page = RUN_RENDERERS["html"]([section(recorded(head(""), rounds))])
    assert len(page) < 500_000
    assert page.count("<details") >= 3


def test_every_variant_and_every_round_is_on_the_page():
    page = RUN_RENDERERS["html"]([section(RECORDS["beside"])])
    cells = len(re.findall(r'<[ia] class="(?:pass|fail)"', page.split("<h2>Tasks")[0]))
    assert cells == sum(one.rounds for one in section(RECORDS["beside"]).run.statistics)
    for target in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{target}"' in page


def test_the_page_of_a_single_round_names_its_scenario_and_has_the_file():
    single = section(recorded(head(""), [("", 1, OUTCOMES["observed"])]))
    header = single.run.header
    page = RUN_RENDERERS["html"]([single])
    assert f"<p>Scenario {header.scenario}: {header.description}</p>" in page
    assert f"<summary>scenario file {header.scenario}</summary>" in page
    assert RENDERERS["html"](OUTCOMES["observed"]).count("Scenario ") == 0


def test_a_target_without_tasks_of_its_own_is_marked():
    calls = [
        replace(call, call=replace(call.call, target=f"{TARGET}/inner"))
        for call in DEFAULT_RUN.calls
    ]
    page = RENDERERS["html"](replace(DEFAULT_RUN, calls=tuple(calls)))
    assert '<code>./inner</code> <span class="dim">target</span>' in page
    assert "Of the tasks in the target the OOM killer chooses" in page


def test_an_outcome_is_green_if_it_was_expected():
    refused = OUTCOMES["refused"]
    held = Check("verdict is invalid-argument", True, "invalid-argument")
    for checks, colour in (
        ((), "bad"),
        ((held,), "good"),
        ((held, replace(held, passed=False)), "bad"),
    ):
        page = RENDERERS["html"](replace(refused, checks=checks))
        assert f'<span class="badge {colour}">' in page


def test_percentiles_are_marked_if_there_are_enough_rounds():
    def page(number):
        rounds = [("", n, OUTCOMES["observed"]) for n in range(1, number + 1)]
        return RUN_RENDERERS["html"]([section(recorded(head(""), rounds))])

    for number, marks in ((3, ["p50"]), (20, ["p50", "p95"]), (100, ["p50", "p95", "p99"])):
        found = re.findall(r'px">(p\d\d)</span>', page(number))
        assert [*dict.fromkeys(found)] == marks


def test_the_page_of_a_run_says_why_and_how_close_in_its_first_round():
    page = RUN_RENDERERS["html"](
        [section(recorded(head(""), [("", n, OUTCOMES["reaped"]) for n in (1, 2)]))]
    )
    assert "Round 1. Why " in page
    assert "<dt>how close, round 1</dt>" in page
    assert "<dt>limit, round 1</dt>" in page

"""The page as text: nothing from outside gets in as it is, and nothing is left open."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from oomctl.oom.outcome import Sample
from oomctl.report import RENDERERS, svg
from tests.outcomes import FIRST, OUTCOMES

HOSTILE = "<script>alert(1)</script>\"'&\x1b]0;\udcff"
VOID = {"meta"}


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not {"src", "href"} & {name for name, _value in attributes}
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
        log=tuple(replace(record, text=HOSTILE) for record in FIRST.log),
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
@pytest.mark.parametrize("size", [0, 1, 4096, 10**6, 2**40 - 1])
def test_a_chart_has_a_handful_of_ticks_whatever_its_size(span, size):
    line = svg.Line("/a", "a", ((0, size), (span, size // 2)))
    drawn = svg.chart([line], [], 0, span, "t")
    labels = re.findall(r">([^<]+)</text>", drawn)
    assert 3 <= len(labels) <= 30
    ys = [float(point.split(",")[1]) for point in re.search('points="([^"]+)', drawn)[1].split()]
    assert all(0 <= y <= 400 for y in ys)


def test_a_long_run_is_thinned_but_keeps_its_peaks():
    points = tuple((n * 1000, 100 if n != 7_777 else 10**6) for n in range(50_000))
    drawn = svg.chart([svg.Line("/a", "a", points)], [], 0, 50_000_000, "t")
    plain = svg.chart([svg.Line("/a", "a", ((0, 100), (1, 10**6)))], [], 0, 50_000_000, "t")

    def top(chart):
        points = re.search('points="([^"]+)', chart)[1].split()
        return min(float(point.split(",")[1]) for point in points), len(points)

    assert top(drawn)[0] == top(plain)[0]
    assert top(drawn)[1] < 5000


def test_many_deaths_at_once_share_a_label():
    marks = [svg.Mark(5_000 + n, f"† worker{n}", True) for n in range(60)]
    line = svg.Line("/a", "a", ((0, 1), (10**6, 1)))
    drawn = svg.chart([line], marks, 0, 10**6, "t")
    assert drawn.count('class="death"') == 60
    assert " more</text>" in drawn

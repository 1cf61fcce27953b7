"""`make bench` measures what it says. No test depends on what it measures."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from benchmarks import host, measure, show
from benchmarks.measure import Result, Row, Way
from oomctl.report.parts import as_markdown


@pytest.fixture
def result():
    own, slow, best = (Way(name, lambda: 1.0) for name in ("oomctl", "<slow>", "best"))
    row = Row("fill & wait", "ms CPU", own, [slow, best], 1.2)
    return Result(row, {"oomctl": [5.0, 3.0], "<slow>": [6.0, 8.0], "best": [5.0, 2.5]})


def test_costs_of_one_round_are_compared(result):
    assert (result.best.name, result.ratio, result.met) == ("best", 1.1, True)
    result.costs["oomctl"][0] = 7.0
    assert result.met is False


def test_a_goal_is_a_cost_of_oomctl(result):
    row = Row("suite", "s", result.row.own, result.row.peers, goal=4.0)
    made = Result(row, result.costs)
    assert made.met
    _head, own, *peers = as_markdown([show.table([made])]).splitlines()[1:]
    assert [cell.strip() for cell in own.strip("|").split("|")][-2:] == ["4", "yes"]
    assert not any("yes" in line or "no" in line for line in peers)
    assert 'class="target"' in show.picture([made])
    made.costs["oomctl"][:] = [5.0]
    assert made.met is False


def test_each_way_is_measured_in_each_round_and_once_before():
    said = []
    ways = [Way(name, lambda name=name: said.append(name) or len(said)) for name in "abc"]
    (made,) = measure.run([Row("x", "ms", ways[0], ways[1:])], 5)
    rounds = [said[at : at + 3] for at in range(0, len(said), 3)]
    assert [sorted(each) for each in rounds] == [["a", "b", "c"]] * 6
    assert len({*map(tuple, rounds)}) > 1
    assert sorted(cost for costs in made.costs.values() for cost in costs) == [*range(4, 19)]


def test_a_program_that_fails_is_no_measurement():
    assert measure.cpu_ms(["/bin/true"]) >= 0
    with pytest.raises(RuntimeError, match="/bin/false ended with 1"):
        measure.cpu_ms(["/bin/false"])
    assert measure.cpu_ms_of(lambda: None) >= 0
    with pytest.raises(RuntimeError, match="ended with 3"):
        measure.cpu_ms_of(lambda: os._exit(3))


def test_the_forms_hold_every_value(result, tmp_path):
    markdown = as_markdown([show.table([result])])
    assert "| fill & wait | oomctl" in markdown
    (best,) = (line for line in markdown.splitlines() if "| best" in line)
    cells = [cell.strip() for cell in best.strip("|").split("|")]
    assert cells == ["", "best", "ms CPU", "2", "2.5", "3.75", "5", "1.10", "1.20", "yes"]
    assert json.loads(json.dumps(show.as_json([result])))["rows"][0]["costs"] == result.costs
    drawn = ElementTree.fromstring(show.picture([result]))
    assert len(drawn.findall("{*}rect")) == 3
    page = tmp_path / "page.md"
    page.write_text(f"a\n{show._BEGIN}\nold\n{show._END}\nz\n")
    show.write_page(page, markdown)
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith(f"{show._END}\nz\n")
    assert markdown in text
    assert "old" not in text


def test_every_row_can_be_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "SIZE", 2 << 20)
    monkeypatch.setattr(host, "SPAWNED", 2)
    monkeypatch.setattr(host, "_STARTS", (("--version", 1.1),))
    rows = [*host.rows(tmp_path)]
    assert len(rows) == 5
    for row in rows:
        assert [way.name for way in row.ways if way.measure() < 0] == []


def test_the_command_says_what_it_takes():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], capture_output=True, text=True, check=True
    )
    assert "--beside" in done.stdout

"""`oomctl report`: what was saved is shown again, in several forms, whatever it is."""

import gzip
import json

import pytest

from oomctl import commandline
from oomctl.report import RENDERERS, RUN_RENDERERS
from oomctl.report.kills import render_json
from oomctl.report.smoke_saved import render
from oomctl.rounds.lines import header_line, summary_line
from oomctl.rounds.reader import read_runs
from oomctl.rounds.round import round_of
from tests.cli.command import refused, run
from tests.outcomes import DEFAULT_RUN, OUTCOMES, Kill
from tests.unit.report.pages import RESULTS
from tests.unit.report.test_cases import report as suite_report
from tests.unit.report.test_runs import RECORDS, section
from tests.unit.smoke.fake_suite import CASES


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_declaration_in_several_forms_at_once(here):
    (here / "saved.json").write_text(RENDERERS["json"](DEFAULT_RUN))
    result = run("report", "saved.json", "-f", "table", "-f", "html=page.html", "-f", "csv=out.csv")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == RENDERERS["table"](DEFAULT_RUN)
    assert (here / "page.html").read_text() == RENDERERS["html"](DEFAULT_RUN)
    assert (here / "out.csv").read_text() == RENDERERS["csv"](DEFAULT_RUN)


def test_the_exit_code_is_that_of_the_command(here):
    (here / "saved.json").write_text(RENDERERS["json"](OUTCOMES["refused"]))
    assert run("report", "saved.json").exit_code == 1


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_a_run_in_json_is_shown_as_its_record(here, form):
    found = section(RECORDS["alone"])
    (here / "run.json").write_text(RUN_RENDERERS["json"]([found]))
    result = run("report", "run.json", "-f", form)
    shown, wanted = result.stdout, RUN_RENDERERS[form]([found])
    if form == "jsonl":  # but for what only the record's last line has
        shown, wanted = shown.splitlines()[:-1], wanted.splitlines()[:-1]
        shown, wanted = map(json.loads, shown), map(json.loads, wanted)
        assert list(shown) == list(wanted)
    else:
        assert shown == wanted


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "ktap"])
def test_the_suite_in_json_lines_is_shown_in_any_form(here, form):
    report = suite_report()
    (here / "smoke.jsonl").write_text(render("jsonl", [report]))
    result = run("report", "smoke.jsonl", "-f", form)
    assert result.exit_code == 1, result.stderr
    shown, wanted = result.stdout, render(form, [report])
    if form == "json":  # the cases of a test are no cases of the suite, so nothing tells their text
        shown, wanted = (
            [{**case, "about": ""} for case in json.loads(text)["cases"]]
            for text in (shown, wanted)
        )
    if form != "table":
        assert shown == wanted


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_command_has_saved_is_shown_in_every_form_of_it(here, name, monkeypatch):
    monkeypatch.setattr("oomctl.smoke.suite.cases", lambda: CASES)
    renderers, saved_as, about = RESULTS[name]
    origin = {"host": "m1", "command": "oomctl that --was", "time": "2026-11-26T12:00:00.000+00:00"}
    with commandline.of(origin):
        wanted = {form: "".join(renderers[form](*about)) for form in renderers}
    if name == "kills":  # its last line says where it was made
        last = {"kind": "summary", "environment": origin}
        (here / "saved").write_text(f"{wanted['jsonl']}{json.dumps(last)}\n")
    else:
        (here / "saved").write_text(wanted[saved_as])
    # kcidb's ids follow from unescaped names too, and only a record says when its rounds ended
    for form in renderers.keys() - ({"kcidb", "jsonl"} if saved_as == "json" else {"kcidb"}):
        result = run("report", "saved", "-f", form)
        assert result.stdout == wanted[form], form


def test_kills_of_a_watch_are_rows_of_csv(here):
    (here / "kills.jsonl").write_text(render_json(Kill(303, "large", 64 << 20, "/a/large")))
    assert run("report", "kills.jsonl", "-f", "jsonl").stdout == (here / "kills.jsonl").read_text()
    head, row = run("report", "kills.jsonl", "-f", "csv").stdout.splitlines()
    assert head.split(",")[:4] == ["date", "time", "invoker", "killed"]
    assert row.split(",")[3] == "large:303"
    assert "large:303 killed (victim)" in run("report", "kills.jsonl").stdout


@pytest.mark.usefixtures("machine")
def test_the_last_result_is_kept(monkeypatch, here):
    monkeypatch.setattr("oomctl.cli.kept._FOLDER", (str(here / "kept"),))
    refused(run("report", "--last"), 2, "no result is kept yet")
    first = run("declare")
    assert run("report", "--last").stdout == first.stdout
    for _ in range(22):
        run("declare")
    assert len(list((here / "kept").iterdir())) == 20


@pytest.mark.parametrize("indent", [None, 0, "\t"])
def test_a_result_may_be_indented_in_any_way(here, indent):
    text = RENDERERS["json"](DEFAULT_RUN)
    (here / "saved.json").write_text(text)
    (here / "other.json").write_text(json.dumps(json.loads(text), indent=indent))
    saved, other = (run("report", name) for name in ("saved.json", "other.json"))
    assert (other.exit_code, other.stdout) == (0, saved.stdout)


LINES = {
    "record": RECORDS["alone"],
    "suite": render("jsonl", [suite_report()]),
    "kills": render_json(Kill(303, "large", 64 << 20, "/a/large")),
}


@pytest.mark.parametrize("name", LINES)
def test_the_keys_of_a_line_may_have_any_order(here, name):
    lines = [*map(json.loads, LINES[name].splitlines())]
    (here / "saved.jsonl").write_text(LINES[name])
    (here / "reversed.jsonl").write_text(
        "".join(f"{json.dumps(dict(reversed(line.items())))}\n" for line in lines)
    )
    saved, other = (run("report", each) for each in ("saved.jsonl", "reversed.jsonl"))
    assert (other.exit_code, other.stdout) == (saved.exit_code, saved.stdout)
    assert saved.stdout


def test_lines_of_declarations_have_too_little_to_be_shown(here):
    one = RENDERERS["jsonl"](DEFAULT_RUN)
    for number in (1, 2):
        (here / "lines.jsonl").write_text(one * number)
        refused(run("report", "lines.jsonl"), 2, "-f jsonl of run, smoke or watch")


@pytest.mark.usefixtures("machine")
def test_a_large_result_is_kept_compressed_a_larger_one_is_not(monkeypatch, here):
    monkeypatch.setattr("oomctl.cli.kept._FOLDER", (str(here / "kept"),))
    page = ("--last", "-f", "json")
    run("declare")
    plain = run("report", *page).stdout
    (whole,) = (here / "kept").iterdir()
    monkeypatch.setattr("oomctl.cli.kept.LARGEST", whole.stat().st_size - 1)
    whole.unlink()
    run("declare")
    (packed,) = (here / "kept").iterdir()
    assert packed.name.endswith(".json.gz")
    again = run("report", *page).stdout
    assert json.loads(again).keys() == json.loads(plain).keys()
    packed.write_bytes(packed.read_bytes()[:-9])
    refused(run("report", packed), 2, "is damaged, or cut short", "copy it again")
    packed.unlink()
    monkeypatch.setattr("oomctl.cli.kept.LARGEST", 1)
    assert "not kept for `oomctl report --last`" in run("declare").stderr
    assert [*(here / "kept").iterdir()] == []


def test_a_record_may_be_compressed(here):
    (here / "soak.jsonl").write_text(RECORDS["alone"])
    (here / "soak.jsonl.gz").write_bytes(gzip.compress(RECORDS["alone"].encode()))
    plain, packed = (run("report", name, "-f", "html") for name in ("soak.jsonl", "soak.jsonl.gz"))
    assert (packed.exit_code, packed.stdout) == (plain.exit_code, plain.stdout)
    assert packed.stdout


@pytest.mark.usefixtures("machine")
def test_a_cache_that_cannot_be_written_fails_nothing(monkeypatch, here):
    (here / "file").write_text("")
    monkeypatch.setattr("oomctl.cli.kept._FOLDER", (str(here / "file" / "below"),))
    result = run("declare")
    assert (result.exit_code, result.stderr) == (0, "")


def test_what_cannot_be_shown_is_refused_in_a_line(here):
    (here / "saved.json").write_text(RENDERERS["json"](DEFAULT_RUN))
    (here / "odd.json").write_text('{\n"schema": 3, "what": 1}')
    (here / "old.json").write_text('{\n"schema": 1}')
    (here / "cut.json").write_text('{\n"schema": 3, "calls": [], "tasks": []}')
    refused(run("report", "saved.json", "-f", "odd"), 2, "'odd' is not one of table, json", "junit")
    (here / "kills.jsonl").write_text(render_json(Kill(303, "large", 64 << 20, "/a/large")))
    refused(run("report", "kills.jsonl", "-f", "junit"), 2, "kills cannot be shown so", "csv")
    refused(run("report", "saved.json", "-f", "json=a", "-f", "csv=a"), 2, "two forms go to a")
    refused(run("report", "saved.json", "-f", "table", "-f", "json"), 2, "go to stdout")
    refused(run("report", "saved.json", "-f", "html="), 2, "names no file")
    refused(run("report", "saved.json", "--last"), 2, "exclude each other")
    refused(run("report"), 2, "no FILE")
    refused(run("report", "odd.json"), 2, "nothing that can be shown again")
    refused(run("report", "old.json"), 2, "has schema 1")
    refused(run("report", "cut.json"), 2, "lacks")
    (here / "r.jsonl").write_text(RECORDS["alone"])
    refused(run("report", "saved.json", "r.jsonl"), 2, "r.jsonl holds rounds")


@pytest.mark.parametrize("name", RECORDS)
def test_a_summary_has_the_statistics_of_the_record(name):
    lines = RECORDS[name].splitlines()
    whole = section(RECORDS[name]).run
    rechecking = {each.label: each.rechecking for each in whole.header.variants}
    small = [header_line(whole.header)]
    for line in map(json.loads, lines[1:]):
        if line["kind"] == "round":
            line = summary_line(round_of(line, rechecking[line["variant"]]))
            assert len(json.dumps(line)) < 2000
        small.append(line)
    (found,) = read_runs([f"{json.dumps(line)}\n".encode() for line in small], "small")
    assert found.run.statistics == whole.statistics

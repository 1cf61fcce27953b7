"""A result in several forms at once, each in its place."""

import json

import pytest

from oomctl.cli.forms import Places, Target
from oomctl.errors import UsageError
from oomctl.oom.prediction import Candidates
from tests.cli.command import refused, run
from tests.cli.test_predict import PAGE, TASKS
from tests.corpus import compose
from tests.rounds import RECORDS
from tests.unit.report.pages import unfit


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.jsonl").write_text(RECORDS["alone"])
    (tmp_path / "k.log").write_text((compose.HERE / "6.12-limit-dmesg.log").read_text())
    given = Candidates(TASKS, 100 << 10, PAGE, frozenset())
    monkeypatch.setattr("oomctl.cli.predict.read_candidates", lambda *_: given)
    monkeypatch.setattr("oomctl.cli.doctor.examine", lambda *_: unfit())  # machines change
    return tmp_path


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    "words",
    [
        *(["declare"], ["doctor"], ["predict", "--global"], ["explain", "k.log"]),
        *(["compare", "r.jsonl", "r.jsonl"], ["report", "r.jsonl"]),
    ],
)
def test_a_page_and_json_beside_the_table(here, words):
    alone = run(*words)
    done = run(*words, "-f", "table", "-f", "html=page.html", "-f", "json", "-o", "out.json")
    refused(done, 2, "two forms go to out.json")
    done = run(*words, "-f", "table", "-f", "html=page.html", "-f", "json=out.json")
    assert (done.exit_code, done.stdout) == (alone.exit_code, alone.stdout), done.stderr
    assert (here / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((here / "out.json").read_text())["schema"] == 3


@pytest.mark.parametrize("words", [["-f", "odd"], ["-f", "json="], ["-f", "=x"], ["-f", ""]])
def test_a_form_that_is_none_is_refused(words):
    refused(run("doctor", *words), 2, "--format")


def test_a_file_that_cannot_be_written_leaves_none_of_the_others(here):
    refused(run("report", "r.jsonl", "-f", "html=page.html", "-f", "csv=no/x.csv"), 2, "no/x.csv")
    assert not (here / "page.html").exists()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("words", [["declare"], ["predict", "--global"], ["explain", "k.log"]])
def test_a_person_is_told_how_to_see_it_as_a_page(words, monkeypatch):
    told = []
    monkeypatch.setattr("oomctl.console.next_step", told.append)
    run(*words, "-f", "json")
    assert told == []
    run(*words)
    assert told == ["see it as a page: oomctl report --last -f html=page.html"]


def test_two_forms_need_two_places():
    with pytest.raises(UsageError, match="two forms go to stdout"):
        Places([Target("table"), Target("json")])

"""`oomctl compare`: what changed between two records, and its exit code."""

import json
from dataclasses import replace

import pytest

from tests.cli.command import refused
from tests.cli.command import run as oomctl
from tests.outcomes import ENVIRONMENT
from tests.rounds import busy, called, happened, head, recorded

NEW = replace(ENVIRONMENT, kernel="7.3.4")


def many(rounds, *, dead="large", scenario="busy", environment=ENVIRONMENT, label=""):
    came = [(label, n, happened(called(1), dead=dead)) for n in range(1, rounds + 1)]
    return recorded(head(label, scenario=scenario, environment=environment), came)


@pytest.fixture
def compare(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def go(a, b, *arguments):
        for name, text in (("a.jsonl", a), ("b.jsonl", b)):
            (tmp_path / name).write_text(text)
        return oomctl("compare", "a.jsonl", "b.jsonl", *arguments)

    return go


def test_nothing_changed(compare):
    result = compare(many(20), many(30, environment=NEW))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "differs   kernel: 6.12.95+deb12-amd64 -> 7.3.4" in result.stdout
    assert "unchanged" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 72


@pytest.mark.parametrize("rounds", [5, 50])
def test_another_victim_is_a_change(compare, rounds):
    result = compare(many(rounds), many(rounds, dead="medium"))
    assert result.exit_code == 1
    assert f"died large {rounds}/{rounds} -> 0/{rounds}" in result.stdout


def test_noise_is_no_change(compare):
    def noisy(bad):
        came = [
            ("", n, happened(called(1), dead="small" if n <= bad else "large")) for n in range(50)
        ]
        return recorded(head(""), [(label, n + 1, one) for label, n, one in came])

    assert compare(noisy(3), noisy(7)).exit_code == 0
    assert compare(noisy(3), noisy(25)).exit_code == 1


def test_other_returned_values_and_verdicts_are_a_change(compare):
    a = recorded(head(""), [("", n, busy(n)) for n in range(4, 14)])
    b = recorded(head(""), [("", n, busy(n, flags=1)) for n in range(4, 14)])
    result = compare(a, b, "-f", "json")
    assert result.exit_code == 1
    tree = json.loads(result.stdout)
    changed = [each["what"] for each in tree["pairs"][0]["differences"] if each["changed"]]
    assert changed == ["verdict busy", "verdict claimed-but-none-died", "returned -EBUSY"]
    assert tree["pairs"][0]["contention"]["no wait"] == {"a": {"count": 30, "of": 40}, "b": None}


def test_what_only_one_has_is_said(compare):
    a = many(5) + many(5, scenario="other")
    result = compare(a, many(5) + many(5, label="v"))
    assert result.exit_code == 0
    assert "only in A: other" in result.stdout
    assert "only in B: busy: v" in result.stdout


def test_the_same_scenario_twice_is_matched_in_order(compare):
    result = compare(many(5) + many(6), many(7) + many(8), "-f", "json")
    pairs = json.loads(result.stdout)["pairs"]
    assert [pair["rounds"] for pair in pairs] == [{"a": 5, "b": 7}, {"a": 6, "b": 8}]


def test_nothing_in_common(compare):
    refused(compare(many(5), many(5, scenario="other")), 2, "no variant of a scenario in common")


def test_no_record(compare, tmp_path):
    refused(compare(many(5), "x"), 2, "b.jsonl: is not a record")
    refused(oomctl("compare", "none", "a.jsonl"), 2, "none: No such file")


def test_a_record_cut_short_is_said(compare):
    text = many(20)
    result = compare(text, text[: text.index('"round": 19')])
    assert result.exit_code == 0
    assert "oomctl: b.jsonl: line 20 is only half there and left out" in result.stderr


def test_records_without_rounds(compare):
    empty = recorded(head(""), [])
    refused(compare(empty, empty), 2, "no rounds of the same variant")
    refused(compare(empty, many(5)), 2, "no rounds of the same variant")


def test_too_few_rounds_are_not_called_unchanged(compare):
    line = many(1).replace('"verdict": "', '"verdict": "un')
    result = compare(many(1), line)
    assert result.exit_code == 0
    assert "unclear   whether anything changed" in result.stdout
    assert "unchanged" not in result.stdout


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_forms(compare, form, tmp_path):
    result = compare(many(5), many(5), "-f", form, "-o", "out")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "out").read_text()


def timed(shift, rounds=20):
    came = [("", n, happened(called(1, shift=(n + shift) * 100_000))) for n in range(1, rounds + 1)]
    return recorded(head(""), came)


def test_slower_calls_fail_only_with_a_limit(compare):
    assert compare(timed(0), timed(60)).exit_code == 0
    result = compare(timed(0), timed(60), "--max-slowdown", "10%")
    assert result.exit_code == 1
    assert "too slow" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 72
    assert compare(timed(0), timed(60), "--max-slowdown", "900%").exit_code == 0
    tree = json.loads(compare(timed(0), timed(60), "--max-slowdown", "10%", "-f", "json").stdout)
    assert (tree["too_slow"], tree["changed"], tree["allowed_slowdown"]) == (True, False, 0.1)


@pytest.mark.parametrize("wrong", ["10", "%", "-1%", "x", "1e3%", "9" * 99 + "%"])
def test_a_limit_is_a_percentage(compare, wrong):
    refused(compare(many(5), many(5), f"--max-slowdown={wrong}"), 2, "is not a percentage")

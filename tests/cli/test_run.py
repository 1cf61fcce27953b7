"""`oomctl run` and `oomctl report`, with a session that only tells what it is told to."""

import json
import os
from pathlib import Path

import pytest

from oomctl.errors import UnsupportedError
from tests.cli.command import refused
from tests.cli.command import run as oomctl
from tests.cli.runs import GOOD, LARGEST, not_filled, records, run, several
from tests.rounds import called, happened


def test_one_round_is_the_report_of_a_declaration_and_what_was_expected(stage, golden):
    result = run("largest.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    golden("run-single.txt", result.stdout)
    assert result.stdout.startswith("target ")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert records() == []
    assert stage.plans[0].hogs[2].name == "large"
    golden("run-single.md", run("largest.toml", "-f", "markdown").stdout)


def test_what_does_not_hold_is_exit_code_1(stage):
    stage.come = lambda number, plan: happened(called(1), dead="small")
    result = run("largest.toml")
    assert result.exit_code == 1
    assert "NO" in result.stdout


def test_without_expectations_it_reports(stage):
    Path("a.toml").write_text('[hog.large]\nsize = "1M"\n')
    stage.come = lambda number, plan: happened(called(-22))
    result = run("a.toml")
    assert result.exit_code == 0
    assert "expected" not in result.stdout
    assert "nothing" in run("a.toml", "--repeat", 2).stdout


def test_many_rounds_are_statistics_and_a_record(stage):
    result = run("largest.toml", "--repeat", 5)
    assert result.exit_code == 0
    assert "held in 5 of 5 rounds" in result.stdout
    (path,) = records()
    begin, end = result.stderr.splitlines()
    assert begin == f"oomctl: every round goes to {path}"
    assert end == f"oomctl: 5 rounds are in {path}; see `oomctl report {path}`"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["run", *["round"] * 5, "end"]
    assert (lines[0]["scenario"], lines[0]["source"]) == ("largest", LARGEST)
    assert lines[0]["options"]["repeat"] == 5
    assert lines[-1] | {"ended": ""} == {
        "kind": "end",
        "why": "done",
        "reason": "",
        "rounds": 5,
        "ended": "",
    }
    assert path.name.startswith("oomctl-largest-")
    assert path.name.endswith(f"-{os.getpid()}.jsonl")


def test_every_round_has_a_tree_of_its_own(stage):
    run("largest.toml", "--repeat", 3, "--no-record")
    assert len({plan.top for plan in stage.plans}) == 3
    assert stage.keep_tree == []


def test_the_same_tree_for_all_rounds(stage):
    result = run("largest.toml", "--repeat", 3, "--same-tree", "--via", "bpf,limit", "--no-record")
    assert result.exit_code == 0
    assert len(stage.keep_tree) == 2
    assert {plan.top for plan in stage.plans} == {plan.top for plan in stage.keep_tree}


@pytest.mark.parametrize("form", ["table", "markdown", "json", "jsonl", "ktap", "junit"])
def test_a_report_is_what_the_run_printed(stage, form):
    ran = run("largest.toml", "--repeat", 3, "--via", "bpf,kill", "-f", form, "--record", "r")
    told = oomctl("report", "r", "-f", form)
    assert (told.exit_code, told.stderr) == (ran.exit_code, "")
    assert told.stdout == ran.stdout


@pytest.mark.parametrize("form", ["json", "jsonl", "ktap", "junit"])
def test_programs_get_the_same_form_of_one_round(stage, form):
    result = run("largest.toml", "-f", form)
    assert result.exit_code == 0
    assert records() == []
    match form:
        case "json":
            tree = json.loads(result.stdout)
            assert (len(tree["runs"][0]["rounds"]), tree["passed"]) == (1, True)
        case "jsonl":
            assert [json.loads(line)["kind"] for line in result.stdout.splitlines()] == [
                *("run", "round", "end")
            ]
        case "ktap":
            assert "\n  ok 2 victims are large\n" in result.stdout
            assert result.stdout.endswith("\nok 1 largest\n")
        case "junit":
            assert '<testcase classname="oomctl.largest" name="victims are large" />' in (
                result.stdout
            )


def test_a_trace_shows_one_round(stage):
    assert run("largest.toml", "-f", "trace").exit_code == 0
    for more in (["--repeat", 2], ["--via", "bpf,limit"], ["--for", "1s"], ["largest.toml"]):
        refused(run("largest.toml", "-f", "trace", *more), 2, "shows one round of one variant")
    assert len(stage.plans) == 1


@pytest.mark.parametrize(
    ("more", "shows"),
    [
        ([], "Memory over time"),
        (["--repeat", 2, "--no-record"], "Every round"),
        (["largest.toml"], "Every round"),
    ],
)
@pytest.mark.usefixtures("stage")
def test_there_is_one_page_of_one_round_and_of_many(more, shows):
    result = run("largest.toml", "-f", "html", *more)
    assert result.exit_code == 0
    assert result.stdout.count("<!DOCTYPE html>") == 1
    assert shows in result.stdout


def test_variants_take_turns(stage):
    result = run("largest.toml", "--repeat", 2, "--vary", "call[0].order=0,3", "--record", "r")
    assert result.exit_code == 0
    assert [plan.steps[0].call.order for plan in stage.plans] == [0, 3, 0, 3]
    assert "order=0  order=3" in result.stdout
    rounds = [json.loads(line) for line in Path("r").read_text().splitlines()[1:-1]]
    assert [(line["variant"], line["round"]) for line in rounds] == [
        *[("order=0", 1), ("order=3", 1)],
        *[("order=0", 2), ("order=3", 2)],
    ]


def test_vary_given_twice_and_via_make_every_combination(stage):
    varied = ["--vary", "call[0].order=0,1", "--vary", "hog.large.size=70M,80M"]
    result = run("largest.toml", *varied, "--via", "bpf,limit")
    assert result.exit_code == 0
    assert len(stage.plans) == 8
    assert "A         order=0, size=70M, bpf" in result.stdout
    assert records() == []  # one round each


def test_another_trigger_loses_what_only_the_first_has(stage):
    Path("a.toml").write_text(
        LARGEST + "verdict = 'killed'\n[hog.more]\nsize='1M'\n"
        "[[call]]\norder = 3\nwait = false\nexpect = { returns = 1, victims = [] }\n"
    )
    run("a.toml", "--via", "bpf,limit")
    bpf, limit = stage.plans
    assert [step.call.order for step in bpf.steps] == [0, 3]
    assert bpf.expect.returns
    assert [(s.call.via, s.call.order, s.call.flags) for s in limit.steps] == [("limit", 0, 0)] * 2
    assert (limit.expect.victims, limit.expect.returns) == (("large",), {})
    assert limit.expect.verdicts == ()
    assert (limit.steps[1].expect.returns, limit.steps[1].expect.victims) == ((), ())


def test_options_reach_the_plan(stage):
    result = run(
        *["largest.toml", "--set", "hog.large.size=128M", "--set", "hog.small.oom_score_adj=7"],
        *["--timeout", "1.5"],
    )
    assert result.exit_code == 0
    (plan,) = stage.plans
    assert plan.hogs[2].size == 128 << 20
    assert plan.hogs[0].oom_score_adj == 7
    assert plan.timeout == 1.5


def test_a_parent(stage, machine):
    machine.root.create_cgroup("mine")
    assert run("largest.toml", "--parent", "/mine").exit_code == 0
    assert stage.plans[0].top.startswith("/mine/oomctl-")
    refused(run("largest.toml", "--parent", "/none"), 2)


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_a_cgroup_that_a_file_names_has_to_be_fit_for_it(stage, machine, dry):
    threads, bare = machine.root.create_cgroup("threads"), machine.root.create_cgroup("bare")
    (threads.directory / "cgroup.type").write_text("threaded\n")
    (bare.directory / "memory.current").unlink()
    (bare.directory / "cgroup.controllers").write_text("pids\n")
    path = Path("unfit.toml")
    path.write_text("parent = '/threads'\n[[call]]\ntarget = '/threads'\n[[call]]\ntarget='/bare'")
    refused = run(path, *dry)
    assert refused.exit_code == 2
    parent, target, other = refused.stderr.splitlines()
    kind = f"{threads.directory} has the cgroup.type 'threaded'"
    assert parent.startswith(f"oomctl: unfit.toml: parent: {kind}: its children get no mem")
    assert target.startswith(f"oomctl: unfit.toml: call[0].target: {kind}, and so no memory contr")
    assert other.startswith(f"oomctl: unfit.toml: call[1].target: {bare.directory} has no memory")
    assert stage.plans == []


def test_a_cgroup_that_a_file_names_has_to_be_there(stage, machine):
    Path("absent.toml").write_text("parent = '/none'\n[[call]]\ntarget = '/mine'\n[[call]]")
    refused = run("absent.toml", "--set", "call[1].target=/other")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "oomctl: absent.toml: parent: this machine has no cgroup '/none'; make it, or name "
        "another\n"
        "oomctl: absent.toml: call[0].target: this machine has no cgroup '/mine'; make it, or name "
        "another\n"
        "oomctl: --set call[1].target: this machine has no cgroup '/other'; make it, or name "
        "another\n"
    )
    assert (records(), stage.plans) == ([], [])
    machine.root.create_cgroup("mine")
    Path("there.toml").write_text("[[call]]\ntarget = '/mine'")
    assert run("there.toml").exit_code == 0


def test_a_time(stage):
    result = run("largest.toml", "--for", "1us", "--via", "bpf,limit", "--no-record")
    assert result.exit_code == 0
    assert len(stage.plans) == 2  # a round that has begun is finished, and so is the other's
    assert run("largest.toml", "--for", "1h", "--repeat", 4, "--no-record").exit_code == 0
    assert len(stage.plans) == 6


def test_until_it_differs(stage):
    stage.come = lambda number, plan: GOOD if number < 7 else happened(called(1), dead="small")
    result = run("largest.toml", "--until-differs", "--via", "bpf,limit")
    assert result.exit_code == 1
    assert "differs: round 4 of bpf: victims small instead of large" in result.stdout
    assert len(stage.plans) == 7


def test_until_it_differs_but_it_does_not(stage):
    result = run("largest.toml", "--until-differs", "--repeat", 3)
    assert result.exit_code == 0
    assert "differs" not in result.stdout
    refused(run("largest.toml", "--until-differs", "--repeat", 1), 2, "more than one round")


def test_a_hog_that_is_not_filled_is_an_outcome_of_many_rounds(stage):
    stage.come = lambda number, plan: not_filled() if number == 2 else GOOD
    result = run("largest.toml", "--repeat", 3)
    assert result.exit_code == 1
    assert "held in 2 of 3 rounds" in result.stdout
    assert "not-filled" in result.stdout
    assert "every round ran" in run("largest.toml", "--repeat", 3, "-f", "ktap").stdout


def test_a_hog_that_is_not_filled_ends_a_single_round(stage):
    stage.come = lambda number, plan: not_filled()
    for form in ("table", "json"):
        refused(run("largest.toml", "-f", form), 3, "cannot fill; free some memory")


def test_no_round_with_an_outcome_is_exit_code_3(stage):
    Path("a.toml").write_text('[hog.large]\nsize = "1M"\n')
    stage.come = lambda number, plan: not_filled()
    assert run("a.toml", "--repeat", 2).exit_code == 3
    assert run("largest.toml", "--repeat", 2).exit_code == 1


def test_several_files_run_one_after_the_other(stage):
    result = run(*several())
    assert result.exit_code == 1
    assert result.stdout.index("== largest\n") < result.stdout.index("== b\n")
    tree = json.loads(run(*several(), "-f", "json").stdout)
    assert [run["passed"] for run in tree["runs"]] == [True, False]
    assert run(*several(), "-f", "ktap").stdout.splitlines()[-1] == "not ok 2 b"


def test_what_the_machine_cannot_does_not_keep_it_from_other_files(stage):
    stage.come = lambda number, plan: UnsupportedError("no", "do") if number == 1 else GOOD
    result = run(*several(), "-f", "ktap")
    assert "ok 1 largest # SKIP no" in result.stdout
    assert "oomctl: largest: no; do" in result.stderr
    assert result.exit_code == 1
    stage.plans.clear()
    Path("b.toml").write_text(LARGEST)
    assert run("largest.toml", "b.toml").exit_code == 3


def test_a_dry_run_prints_every_plan_and_touches_nothing(stage, monkeypatch, mounts):
    mounts()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = run("largest.toml", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "mkdir " in result.stdout
    assert "==" not in result.stdout
    result = run("largest.toml", "--dry-run", "--via", "bpf,limit", "--repeat", 5)
    assert result.stdout.startswith("== largest: bpf\n")
    assert "\n\n== largest: limit\n" in result.stdout
    assert (stage.plans, records()) == ([], [])


def test_a_dry_run_fits_a_terminal(stage, monkeypatch):
    monkeypatch.setattr("oomctl.cli.output.Output.width", 60)
    lines = run("largest.toml", "--dry-run").stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert {line[:8].rstrip() for line in lines} >= {"", "mkdir", "hog", "call"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.toml"], "none.toml"),
        (["largest.toml", "--via", "magic"], "'magic' is not a trigger"),
        (["largest.toml", "--via", ""], "is empty"),
        (["largest.toml", "--via", "bpf,"], "'' is not a trigger"),
        (["largest.toml", "--via", "bpf,limit,bpf"], "bpf is given twice"),
        (["largest.toml", "--vary", "call[0].order=1,1"], "'1' is given twice"),
        (["largest.toml", ""], "'FILE...': it is empty"),
        (["largest.toml", "--record", "", "--dry-run"], "'--record': it is empty"),
        (["largest.toml", "--for", "0"], "out of range"),
        (["largest.toml", "--for", "soon"], "'soon' is not a time"),
        (["largest.toml", "--repeat", "0"], "out of range"),
        (["largest.toml", "--repeat", "x"], "whole number"),
        (["largest.toml", "--vary", "x"], "'x' is not KEY=A,B"),
        (["largest.toml", "--vary", "hog.large.size=64M,x"], "--vary hog.large.size: "),
        (["largest.toml", "--vary", "hog.lrge.size=1M,2M"], "--vary hog.lrge: "),
        (["largest.toml", "--vary", "call[7].order=1,2"], "--vary call[7]: "),
        (
            ["largest.toml", "--set", "hog.large.size=x", "--vary", "call[0].order=0,1"],
            "--set hog.large.size: ",
        ),
        (["largest.toml", "--set", "hog.large.sise=1M"], "sise"),
        (["largest.toml", "--format", "yaml"], "'yaml' is not one of"),
        (["largest.toml", "--timeout", "0"], "out of range"),
        ([], "FILE"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_made(stage, arguments, says):
    refused(run(*arguments), 2, says)
    assert (stage.plans, records()) == ([], [])


def test_what_the_machine_lacks_is_said(stage, monkeypatch):
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: None)
    refused(run("largest.toml", "--repeat", 2), 3, "has no bpf_out_of_memory()")
    assert records() == []


GLOBAL = LARGEST.replace("[[call]]", "[[call]]\nglobal = true")


def test_the_whole_system_needs_a_person_or_yes(stage, monkeypatch):
    Path("g.toml").write_text(GLOBAL)
    refused(run("g.toml"), 2, "a call on the whole system kills the largest task")
    refused(
        run("largest.toml", "--via", "sysrq"), 2, "whole system, as --via sysrq makes it, kills"
    )
    assert stage.plans == []
    says = "the whole MACHINE: its largest task dies"
    assert says in run("largest.toml", "--via", "sysrq", "--dry-run").stdout
    assert says not in run("largest.toml", "--dry-run").stdout
    result = run("g.toml", "--yes", "--repeat", 3, "--no-record")
    assert result.stderr.count("the kernel would pick: big") == 1
    monkeypatch.setattr("oomctl.console.not_interactive", lambda: "")
    assert run("g.toml", input="y\n").stderr.endswith("whole system? [y/N] ")
    result = run("g.toml", input="n\n")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_file_gets_the_result(stage):
    result = run("largest.toml", "--repeat", 2, "-o", "out", "--no-record")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("out").read_text().startswith("scenario")
    refused(run("largest.toml", "-o", "no/where"), 2, "--output no/where")

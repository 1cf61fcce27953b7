import json
from dataclasses import replace

import pytest

from oomctl.oom.outcome import Check
from oomctl.oom.timeline import Stamp
from oomctl.report import RENDERERS, render
from oomctl.report.outcome_parts import timeline_table
from tests.outcomes import DEFAULT_RUN, OUTCOMES

SUFFIX = {
    "table": "txt",
    "markdown": "md",
    "json": "json",
    "jsonl": "jsonl",
    "html": "html",
    "trace": "trace.json",
    "ktap": "ktap",
    "junit": "xml",
}


@pytest.mark.parametrize("form", SUFFIX)
@pytest.mark.parametrize("name", OUTCOMES)
def test_golden(golden, name, form):
    golden(f"{name}.{SUFFIX[form]}", RENDERERS[form](OUTCOMES[name]))


@pytest.mark.parametrize(
    "name", ["default", "refused", "repeated", "group", "unanswered", "crowded"]
)
def test_a_table_fits_80_columns(name):
    text = RENDERERS["table"](OUTCOMES[name])
    assert max(map(len, text.splitlines())) <= 80, text


DEEP = "/user.slice/user-1000.slice/user@1000.service/app.slice/" + "a-long-name." * 12 + "scope"
CROWD = [
    replace(row, task=replace(row.task, pid=4_194_300 + n, comm="c" * 15, cgroup=f"{DEEP}{n}"))
    for n, row in enumerate(DEFAULT_RUN.tasks)
]
WIDE = {
    **OUTCOMES,
    "deep": replace(DEFAULT_RUN, tasks=CROWD),
    "checked": replace(DEFAULT_RUN, checks=(Check("x " * 60, False, "y" * 120),)),
}


@pytest.mark.parametrize("width", [200, 80, 60, 40])
@pytest.mark.parametrize("name", WIDE)
def test_on_a_terminal_a_table_fits(name, width):
    text = render(RENDERERS, "table", WIDE[name], terminal=width)
    assert max(map(len, text.splitlines())) <= width, text
    for row in WIDE[name].tasks:
        assert str(row.task.pid) in text
        assert row.task.cgroup[-7:].rpartition("/")[2] in text
    as_json = render(RENDERERS, "json", WIDE[name], terminal=width)
    assert as_json == RENDERERS["json"](WIDE[name])


def test_what_fits_is_as_it_is_in_a_pipe():
    assert RENDERERS["table"](DEFAULT_RUN, 80) == RENDERERS["table"](DEFAULT_RUN)


def test_victims_of_one_comm_can_be_told_apart():
    names = {stamp.pid: "worker" for stamp in OUTCOMES["reaped"].calls[0].timeline.stamps}
    tasks = [
        replace(row, task=replace(row.task, comm="worker")) for row in OUTCOMES["reaped"].tasks
    ]
    same = replace(OUTCOMES["reaped"], tasks=tasks)
    moments = timeline_table(same).rows
    assert {row[1] for row in moments} == {"-"} | {f"worker:{pid}" for pid in names if pid}
    assert len(moments) == len(OUTCOMES["reaped"].calls[0].timeline.stamps)
    different = {row[1] for row in timeline_table(OUTCOMES["reaped"]).rows}
    assert different == {"-", *(f"worker{n}" for n in range(6))}


def test_a_victim_called_caller_is_not_the_caller():
    run = OUTCOMES["observed"]
    named = replace(run.tasks[2], task=replace(run.tasks[2].task, comm="caller"))
    one = run.calls[0]
    line = replace(one.timeline, stamps=(*one.timeline.stamps, Stamp("unlocking", 10**11, 900)))
    one = replace(one, result=replace(one.result, caller=900), timeline=line)
    rows = timeline_table(replace(run, calls=(one,), tasks=(named,))).rows
    assert {row[1] for row in rows} == {"-", "caller:303", "310", "caller:900"}


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_of_many_calls_some_may_have_no_prediction(form):
    run = OUTCOMES["several"]
    predicted = next(one for one in run.calls if one.prediction)
    mixed = (*[predicted] * 8, replace(predicted, prediction=None))
    cells = RENDERERS[form](replace(run, calls=mixed)).split()
    assert cells.count("yes") + cells.count("NO") == 8


def test_a_default_run_with_the_longest_likely_names_fits_80_columns():
    tasks = tuple(replace(row, task=replace(row.task, pid=4_194_304)) for row in DEFAULT_RUN.tasks)
    text = RENDERERS["table"](replace(DEFAULT_RUN, tasks=tasks))
    assert max(map(len, text.splitlines())) <= 80, text


@pytest.mark.parametrize("form", RENDERERS)
def test_a_renderer_does_not_depend_on_what_was_rendered_before(form, monkeypatch):
    monkeypatch.setattr("tabulate.MIN_PADDING", 2)  # as it is when nothing was
    first = RENDERERS[form](DEFAULT_RUN)
    RENDERERS["table"](DEFAULT_RUN)
    assert RENDERERS[form](DEFAULT_RUN) == first


# Issue "declare works for real", part 2; consumers rely on these names and types.
NUMBER, TEXT, MAYBE_NUMBER, MAYBE_TEXT = int, str, int | None, str | None
CALL = {
    "target": MAYBE_TEXT,
    "cgroup_id": MAYBE_NUMBER,
    "order": NUMBER,
    "flags": NUMBER,
    "ret": MAYBE_NUMBER,
    "errno": MAYBE_TEXT,
    "duration_ns": MAYBE_NUMBER,
}
TASK = {
    "pid": NUMBER,
    "comm": TEXT,
    "cgroup": TEXT,
    "name": MAYBE_TEXT,
    "size_bytes": MAYBE_NUMBER,
    "charged_bytes": NUMBER,
    "oom_score_adj": NUMBER,
    "fate": TEXT,
    "signal": MAYBE_TEXT,
    "died_after_ns": MAYBE_NUMBER,
}
TOP = {
    "schema": NUMBER,
    "environment": dict,
    "calls": list,
    "tasks": list,
    "events": list,
    "verdict": TEXT,
}


def has(tree, fields):
    for name, kind in fields.items():
        assert isinstance(tree[name], kind), f"{name}: {tree[name]!r}"


@pytest.mark.parametrize("name", OUTCOMES)
def test_json_has_the_promised_fields(name):
    tree = json.loads(RENDERERS["json"](OUTCOMES[name]))
    has(tree, TOP)
    assert tree["schema"] == 3
    environment = tree["environment"]
    has(environment, {"kernel": TEXT, "oomctl": TEXT})
    has(environment, {"page_size_bytes": NUMBER, "memory_bytes": NUMBER})
    has(environment["kfunc"], {"signature": TEXT, "provider": TEXT})
    assert environment["sysctls"] == {"vm.panic_on_oom": 0, "vm.swappiness": None}
    for call in tree["calls"]:
        has(call, CALL)
    for task in tree["tasks"]:
        has(task, TASK)
    for row in tree["events"]:
        assert all(isinstance(rise, int) for rise in row["counters"].values())


def test_json_is_one_object_on_its_own_line():
    text = RENDERERS["json"](DEFAULT_RUN)
    assert text.endswith("}\n")
    assert json.loads(text)["tasks"][2]["fate"] == "oom-killed"
    assert json.loads(text)["calls"][0]["ret"] == 1


def test_markdown_leaves_no_row_broken_by_a_hostile_comm():
    text = RENDERERS["markdown"](OUTCOMES["global"])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bare_pipes = [line.replace(r"\|", "").count("|") for line in rows]
    assert len(set(bare_pipes)) == 1, text

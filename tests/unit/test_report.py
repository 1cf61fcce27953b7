import json
from dataclasses import replace

import pytest

from oomctl.report import RENDERERS
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


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize("name", OUTCOMES)
def test_golden(golden, name, form):
    golden(f"{name}.{SUFFIX[form]}", RENDERERS[form](OUTCOMES[name]))


@pytest.mark.parametrize(
    "name", ["default", "refused", "repeated", "group", "unanswered", "crowded"]
)
def test_a_table_fits_80_columns(name):
    text = RENDERERS["table"](OUTCOMES[name])
    assert max(map(len, text.splitlines())) <= 80, text


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_of_many_calls_some_may_have_no_prediction(form):
    run = OUTCOMES["several"]
    predicted = next(one for one in run.declared if one.prediction)
    mixed = (*[predicted] * 8, replace(predicted, prediction=None))
    cells = RENDERERS[form](replace(run, declared=mixed)).split()
    assert cells.count("yes") + cells.count("NO") == 8


def test_a_default_run_with_the_longest_likely_names_fits_80_columns():
    tasks = tuple(
        replace(fated, task=replace(fated.task, pid=4_194_304)) for fated in DEFAULT_RUN.tasks
    )
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
    "asked_bytes": MAYBE_NUMBER,
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
    "events": dict,
    "verdict": TEXT,
}


def has(tree, fields):
    for name, kind in fields.items():
        assert isinstance(tree[name], kind), f"{name}: {tree[name]!r}"


@pytest.mark.parametrize("name", OUTCOMES)
def test_json_has_the_promised_fields(name):
    tree = json.loads(RENDERERS["json"](OUTCOMES[name]))
    has(tree, TOP)
    assert tree["schema"] == 1
    environment = tree["environment"]
    has(environment, {"kernel": TEXT, "oomctl": TEXT, "page_size": NUMBER, "memory": NUMBER})
    has(environment["kfunc"], {"signature": TEXT, "provider": TEXT})
    assert environment["sysctls"] == {"vm.panic_on_oom": 0, "vm.swappiness": None}
    for call in tree["calls"]:
        has(call, CALL)
    for task in tree["tasks"]:
        has(task, TASK)
    for delta in tree["events"].values():
        assert all(isinstance(rise, int) for rise in delta.values())


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

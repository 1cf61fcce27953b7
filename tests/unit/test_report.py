import errno
import json
from dataclasses import replace

import pytest

from oomctl.answer import Answer, Stage
from oomctl.evidence import Kill
from oomctl.fate import Fate
from oomctl.outcome import Declared, Environment, Fated, Outcome
from oomctl.plan import Call
from oomctl.report import RENDERERS
from oomctl.task import Task
from oomctl.verdict import judge, overall

M = 1 << 20
TARGET = "/oomctl-4321-9f8e7d"

ENVIRONMENT = Environment(
    oomctl="0.1.0",
    kernel="6.12.95+deb12-amd64",
    machine="x86_64",
    cpus=2,
    memory=2 << 30,
    swap=0,
    page_size=4096,
    kfunc="int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order, u64 flags)",
    kfunc_provider="bpf_oom_kfunc",
    kfunc_variant="v3",
    libbpf="1.1",
    oom_score_adj=-1000,
    sysctls={"vm.panic_on_oom": 0, "vm.swappiness": None},
)


def declared(ret, *kills, call=None, began=10**9, took=734_512, cgroup_id=4242, **judged):
    call = call or Call(TARGET, 0, 1)
    answer = Answer(Stage.CALLED, began, began + took, ret)
    names = [f"{kill.comm} (pid {kill.pid})" for kill in kills]
    verdict = judge(answer, names, judged.get("group_kills", 0), judged.get("no_killable", False))
    return Declared(call, cgroup_id, answer, kills, verdict)


def hog(pid, name, size, fate="survived", call=None, after=None, adj=0):
    task = Task(pid, name, f"{TARGET}/{name}", adj, size + 8192, 0, 49152, 1.0)
    fate = Fate("oom-killed", signal=9) if fate == "oom-killed" else Fate(fate)
    return Fated(task, name, size, size + 253_952, fate, call, after)


def outcome(*calls, tasks=(), events=None, **more):
    return Outcome(
        environment=ENVIRONMENT,
        declared=calls,
        tasks=tasks,
        events=events or {},
        memory_before=more.get("before", 113 * M),
        memory_after=more.get("after", 49 * M),
        log_lost=more.get("lost", 0),
        verdict=overall([call.verdict for call in calls]),
        notes=more.get("notes", ()),
    )


COUNTERS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled")


def rises(**moved):
    return {TARGET: {name: moved.get(name, 0) for name in COUNTERS}}


DEFAULT_RUN = outcome(
    declared(1, Kill(303, "large", 64 * M, f"{TARGET}/large")),
    tasks=(
        hog(301, "small", 16 * M),
        hog(302, "medium", 32 * M),
        hog(303, "large", 64 * M, "oom-killed", 0, 4_812_345),
    ),
    events=rises(oom_kill=1) | {f"{TARGET}/large": {"oom_kill": 1}},
)

HOSTILE = Task(9, r"a|b`*\x1b", "/else_where|<b>", -5, 3 * M, 0, 4096, 1.0)

OUTCOMES = {
    "default": DEFAULT_RUN,
    "refused": outcome(
        declared(-errno.EINVAL, call=Call(TARGET, 11, 2), took=950),
        tasks=DEFAULT_RUN.tasks[:2],
        events=rises(),
        after=113 * M,
    ),
    "repeated": outcome(
        declared(1, Kill(303, "large", 64 * M)),
        declared(1, began=2 * 10**9),
        tasks=(hog(301, "small", 16 * M), hog(303, "large", 64 * M, "oom-killed", 0, 98_765)),
        events=rises(oom_kill=1),
        lost=3,
        notes=("something to know",),
    ),
    "group": outcome(
        declared(1, Kill(301, "a", M), Kill(302, "b", M), group_kills=1),
        tasks=(hog(301, "a", M, "oom-killed", 0, 10), hog(302, "b", M, "oom-killed", 0, 20)),
        events=rises(oom_kill=3, oom_group_kill=1),
    ),
    "global": outcome(
        declared(1, Kill(9, HOSTILE.comm, 3 * M), call=Call(None, 0, 0), cgroup_id=None),
        tasks=(
            Fated(HOSTILE, None, None, HOSTILE.footprint, Fate("oom-killed", signal=9), 0, 5),
            Fated(replace(HOSTILE, pid=10), None, None, 0, Fate("killed", signal=15)),
            Fated(replace(HOSTILE, pid=11), None, None, 0, Fate("exited", status=3)),
            Fated(replace(HOSTILE, pid=12), None, None, 0, Fate("gone")),
        ),
        before=None,
        after=None,
    ),
    "unanswered": outcome(
        Declared(
            Call(TARGET, 0, 1),
            4242,
            late := Answer(Stage.CALLED, 10**9, 0, None, timed_out=True),
            (),
            judge(late, [], 0, False),
        ),
        events=rises(),
    ),
    "empty": outcome(declared(0, no_killable=True), before=0, after=0),
}
SUFFIX = {"table": "txt", "markdown": "md", "json": "json"}


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize("name", OUTCOMES)
def test_golden(golden, name, form):
    golden(f"{name}.{SUFFIX[form]}", RENDERERS[form](OUTCOMES[name]))


@pytest.mark.parametrize("name", ["default", "refused", "repeated", "group", "unanswered"])
def test_a_table_fits_80_columns(name):
    text = RENDERERS["table"](OUTCOMES[name])
    assert max(map(len, text.splitlines())) <= 80, text


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

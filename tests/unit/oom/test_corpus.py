"""Every log of the corpus is read as its answer says; `pytest -s` prints the count of fields."""

import json
from pathlib import Path

import pytest

from oomctl.report import EXPLANATION_RENDERERS
from tests.corpus import compose
from tests.corpus.reading import facts, read
from tests.schemas import validator

LOGS = sorted(Path(compose.__file__).parent.glob("*.log"))
SAME = ("pid", "comm", "memcg", "cgroup", "order", "tasks", "usage", "limit", "failcnt")
COUNTED: dict[str, int] = {}


def answers(log):
    return json.loads(log.with_suffix(".json").read_text())


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_log_is_read_as_its_answer_says(log):
    wanted = answers(log)
    found = [facts(each) for each in read(log.read_bytes())]
    assert len(found) == len(wanted)
    for one, right in zip(found, wanted, strict=True):
        assert {name: one[name] for name in right} == right
    COUNTED[log.stem] = sum(map(len, wanted))


def test_the_corpus_is_as_large_as_it_should_be():
    assert len(LOGS) >= 40
    print(f"\n{sum(COUNTED.values())} fields of {len(COUNTED)} logs are read right")


def test_what_is_composed_is_what_is_there(tmp_path, monkeypatch):
    base = compose.HERE / f"{compose.BASE}.log"
    for suffix in (".log", ".json"):
        name = base.with_suffix(suffix).name
        (tmp_path / name).write_bytes((compose.HERE / name).read_bytes())
    monkeypatch.setattr(compose, "HERE", tmp_path)
    compose.newer_kernels(compose.old_kernels())
    compose.odd_kernels()
    compose.styles()
    for file in tmp_path.iterdir():
        assert file.read_bytes() == base.with_name(file.name).read_bytes(), file.name


@pytest.mark.parametrize("form", ["json", "table", "markdown", "html"])
def test_each_log_is_rendered(form):
    for log in LOGS:
        explained = read(log.read_bytes())
        text = "".join(EXPLANATION_RENDERERS[form](explained, log.name, None))
        assert text.replace("\n", "").isprintable()
        if form == "json":
            validator("explain-schema.json").validate(json.loads(text))
        else:
            assert text.count("OOM ") >= len(explained)


@pytest.mark.parametrize("style", ["dmesg", "ctime", "decoded", "iso", "delta", "raw", "bare"])
def test_each_style_of_dmesg_says_what_the_records_say(style):
    folder = LOGS[0].parent
    (wanted,) = answers(folder / "6.12-comm-kmsg.log")
    (found,) = answers(folder / f"6.12-comm-{style}.log")
    assert {name: found[name] for name in SAME} == {name: wanted[name] for name in SAME}


@pytest.mark.parametrize("cut", range(0, 240, 7))
def test_a_log_that_is_cut_anywhere_has_no_wrong_field(cut):
    log = LOGS[0].parent / "6.12-limit-dmesg.log"
    lines = log.read_bytes().split(b"\n")
    wanted = answers(log)
    for part in (lines[:cut], lines[cut:]):
        for found in map(facts, read(b"\n".join(part))):
            if found["pid"] is not None:
                (right,) = [each for each in wanted if each["pid"] == found["pid"]]
                for name in ("comm", "memcg", "cgroup", "group", "invoker_pid", "order", "usage"):
                    assert found[name] in (None, right[name]), name

"""The one-liners of docs/jq.md, each asked of results that were made for it."""

import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from oomctl.report import COMPARISON_RENDERERS, PREDICTION_RENDERERS, RENDERERS, RUN_RENDERERS
from oomctl.report.kills import render_json
from oomctl.report.smoke_saved import render
from tests.docs.pages import marked
from tests.outcomes import OUTCOMES, Kill
from tests.rounds import RECORDS, section
from tests.unit.report.pages import predicted, suite
from tests.unit.report.test_runs import pair

ASKED = [each for found in marked("jq").values() for block in found for each in block.commands]
JQ = shutil.which("jq")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    one = OUTCOMES["observed"]
    origin = {"host": "vm", "command": "oomctl declare", "time": "2026-11-26T14:11:51+00:00"}
    texts = {
        "result.json": RENDERERS["json"](
            replace(one, environment=replace(one.environment, **origin))
        ),
        "run.json": RUN_RENDERERS["json"]([section(RECORDS["alone"])]),
        "record.jsonl": RECORDS["alone"],
        "smoke.jsonl": render("jsonl", suite()),
        "kills.jsonl": render_json(Kill(303, "large", 64 << 20, "/a/large")),
        "compare.json": COMPARISON_RENDERERS["json"](pair(), ("a", "b")),
        "predict.json": PREDICTION_RENDERERS["json"](*predicted()),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def asked(command, folder):
    """Ask jq itself, or else the library that is made of it (the extra `dev`)."""
    if JQ:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert not done.stderr
        return done.returncode, done.stdout
    import shlex

    import jq

    words = shlex.split(command)
    texts = (folder / words[-1]).read_text()
    found = jq.compile(words[-2]).input_text(texts).all()
    code = 1 if "-e" in words and found[-1] in (None, False) else 0
    return code, "".join(f"{one if '-r' in words else json.dumps(one)}\n" for one in found)


def test_there_are_twenty():
    assert len(ASKED) >= 20


@pytest.mark.parametrize("command", ASKED, ids=lambda command: command.text)
def test_it_has_an_answer(command, results):
    code, answer = asked(command.text, results)
    assert code == command.code
    assert answer.strip()
    assert "null" not in answer or "memcg" in command.text

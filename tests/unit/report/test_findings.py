"""Findings as a table and as JSON."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.doctor import CHECKS, Examination, Finding, examine
from oomctl.doctor.machine import Program
from oomctl.errors import UnsupportedError
from oomctl.report import DOCTOR_RENDERERS as RENDERERS
from oomctl.report.doctor_parts import render_text
from oomctl.report.json_forms import render_examination
from oomctl.text import printable
from tests.schemas import validator

VALIDATOR = validator("doctor-schema.json")


@pytest.fixture
def unfit_machine(fit_machine):
    """A machine with several things against it."""
    fit_machine.lack(24, bounding=False)
    fit_machine.said["kfunc"] = UnsupportedError("this kernel has none", "run `oomctl kfunc load`")
    fit_machine.readonly = True
    fit_machine.write("/proc/sys/vm/panic_on_oom", "1\n")
    fit_machine.running.append(Program(77, "systemd-oomd", ""))
    return fit_machine


def seen_on(machine):
    """The findings, with the temporary folder of the fake cgroupfs called what it stands for."""
    seen = examine(machine, CHECKS)
    mount = str(machine.hierarchy.directory)

    def named(finding):
        found, fix = (t.replace(mount, "/sys/fs/cgroup") for t in (finding.found, finding.fix))
        return replace(finding, found=found, fix=fix)

    return replace(seen, findings=tuple(map(named, seen.findings)))


@pytest.fixture(autouse=True)
def version(monkeypatch):
    for module in ("doctor_parts", "json_forms"):
        monkeypatch.setattr(f"oomctl.report.{module}.__version__", "1.2.3")


@pytest.mark.parametrize(("form", "suffix"), [("table", "txt"), ("json", "json")])
@pytest.mark.parametrize("which", ["fit", "unfit"])
def test_golden(request, golden, which, form, suffix):
    machine = request.getfixturevalue(f"{which}_machine")
    golden(f"doctor-{which}.{suffix}", RENDERERS[form](seen_on(machine)))


@pytest.mark.parametrize("width", [60, 72, 80, 200])
def test_it_fits_the_terminal(unfit_machine, width):
    lines = render_text(seen_on(unfit_machine), width).splitlines()
    assert max(map(len, lines)) <= min(width, 80)


def test_a_terminal_may_be_very_narrow(unfit_machine):
    assert "panic_on_oom" in render_text(seen_on(unfit_machine), 1)


@pytest.mark.parametrize("which", ["fit", "unfit"])
def test_the_json_is_what_the_schema_says(request, which):
    machine = request.getfixturevalue(f"{which}_machine")
    shown = json.loads(render_examination(examine(machine, CHECKS)))
    VALIDATOR.validate(shown)
    assert shown["fit"] is (which == "fit")
    assert [each["name"] for each in shown["checks"]] == [check.name for check in CHECKS]


FINDINGS = st.builds(
    Finding,
    st.sampled_from(["ok", "warning", "missing"]),
    st.text(max_size=200),
    st.text(max_size=200),
    st.sampled_from([check.name for check in CHECKS]),
)


@given(st.lists(FINDINGS))
def test_any_findings_fit_into_80_columns_unless_a_word_does_not(findings):
    seen = Examination("6.12", "x86_64", tuple(findings))
    shown = render_text(seen)
    assert shown.endswith("\n")
    assert all(line.isprintable() for line in shown.splitlines())
    words = " ".join(f"{each.found} {each.fix}" for each in findings)
    if not any(len(word) > 40 for word in printable(words).split(" ")):
        assert max(map(len, shown.splitlines())) <= 80
    VALIDATOR.validate(json.loads(render_examination(seen)))


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ((), "`oomctl declare` can work here, 0 warnings. "),
        (("ok", "warning"), "`oomctl declare` can work here, 1 warning. "),
        (("warning", "warning"), "`oomctl declare` can work here, 2 warnings. "),
        (("missing", "ok"), "`oomctl declare` cannot work here: 1 missing, 0 warnings. "),
    ],
)
def test_what_follows(states, says):
    seen = Examination("6.12", "x86_64", tuple(Finding(state, "x") for state in states))
    assert says in render_text(seen)

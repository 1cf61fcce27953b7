"""A finding as one C file or one shell script that needs no oomctl, for a mail to the list."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from oomctl.experiment.triggers import default_amount
from oomctl.fuzz.finding import Finding
from oomctl.oom.enums import ReproForm, Via
from oomctl.oom.plan import Hog, Plan, Step

TOP = "/oom-repro"
KINDS = ("anon", "mlock", "shmem", "threads", "stopped", "shared")
"""The kinds of hogs that it can make."""
_HOW = (
    "Run it as root. It makes cgroups below /sys/fs/cgroup/oom-repro, fills memory in them, and\n"
    "removes them. Where bpf_out_of_memory() is to be called, it runs its argument in a shell\n"
    "with CGROUP, CGROUP_ID, ORDER and FLAGS, or waits for Enter without one. It exits with 1 if\n"
    "other processes die than the model of oom_badness() says."
)


def is_possible(finding: Finding) -> bool:
    """Tell whether it can be rebuilt: known hogs and triggers, one caller, no steps or sysctls."""
    case = finding.case
    kinds = {"" if hog.leader_exits else hog.kind for hog in case.hogs}
    vias = {step.call.via for step in case.steps}
    changes = case.sysctls or case.actions
    single = all(step.callers == 1 for step in case.steps)
    return single and kinds <= {*KINDS} and vias <= {Via.BPF, Via.LIMIT} and not changes


def text(finding: Finding, form: ReproForm) -> str:
    """Return the program; `is_possible()` must be true of the finding."""
    plan = finding.case.plan(TOP)
    expected = [f" {' '.join(each.victims or ())} ".replace("  ", " ") for each in finding.expected]
    expected += [" ?"] * (len(plan.steps) - len(expected))
    about = "\n".join([*finding.about, "", *_HOW.split("\n")])
    lines = {ReproForm.C: _c, ReproForm.SH: _sh}[form]
    return "\n".join(lines(plan, expected, about))


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _c(plan: Plan, expected: list[str], about: str) -> Iterator[str]:
    yield "/*"
    yield from (f" * {line}".rstrip() for line in about.replace("*/", "* /").split("\n"))
    yield " *\n * cc -O2 -Wall -o repro repro.c\n */"
    yield _part("hog.c")
    tables = "\n".join(_tables(plan, expected))
    yield _part("main.c").replace("/*@TABLES@*/", tables).rstrip("\n") + "\n"


def _tables(plan: Plan, expected: list[str]) -> Iterator[str]:
    yield "static const char *const cgroups[] = {"
    yield from (f"\t{_quoted(each)}," for each in plan.cgroups)
    yield "};\n\nstatic const struct setting settings[] = {"
    for one in plan.settings:
        values = ", ".join(map(_quoted, (one.cgroup, one.file, one.value)))
        yield f"\t{{ {values}, {int(one.optional)} }},"
    yield "};\n\nstatic const struct hog hogs[] = {"
    for hog in plan.hogs:
        names = ", ".join(map(_quoted, (hog.name, hog.kind, hog.cgroup)))
        sharer = _quoted(hog.sharer) if hog.sharer else "NULL"
        yield f"\t{{ {names}, {sharer}, {hog.oom_score_adj}, {hog.tasks}, {hog.size} }},"
    yield "\t{ 0 },\n};\n\nstatic const struct call calls[] = {"
    for step, who in zip(plan.steps, expected, strict=True):
        call = step.call
        numbers = f"{int(call.via == Via.LIMIT)}, {call.order}, {call.flags}ULL, {_amount(step)}"
        yield f"\t{{ {_quoted(call.target or '')}, {numbers}, {_quoted(who)} }},"
    yield "};"


def _sh(plan: Plan, expected: list[str], about: str) -> Iterator[str]:
    yield "#!/bin/sh"
    yield from (f"# {line}".rstrip() for line in about.split("\n"))
    yield f"top={TOP}\nhogs={shlex.quote(' '.join(hog.name for hog in plan.hogs))}"
    yield _part("script.sh").replace("@HOG@", _part("hog.c") + "\n" + _part("hog_main.c"))
    for cgroup in ("/", *plan.cgroups):
        if cgroup != "/":
            yield f'mkdir "$root"{shlex.quote(cgroup)}'
        for one in plan.settings:
            if one.cgroup == cgroup:
                path = '"$root"' + shlex.quote(f"{cgroup.rstrip('/')}/{one.file}")
                check = f"[ ! -e {path} ] || " * one.optional
                yield f"{check}echo {shlex.quote(one.value)} >{path}"
    for hog in plan.hogs:
        yield _start(hog)
    for number, (step, who) in enumerate(zip(plan.steps, expected, strict=True), 1):
        call, target = step.call, shlex.quote(step.call.target or "")
        if call.via == Via.LIMIT:
            yield f"lower_limit {target} {_amount(step)}"
        else:
            yield f'declare_oom {target} {call.order} {call.flags} "${{1:-}}"'
        yield f"died {number} {shlex.quote(who)} {int(call.via == Via.LIMIT)}"
    yield "[ $differs = 1 ] || echo 'as the model says'\nexit $differs\n"


def _start(hog: Hog) -> str:
    words = [f'"$root"{hog.cgroup}', str(hog.oom_score_adj), str(hog.size), str(hog.tasks)]
    words += [f'"$root"{hog.sharer}'] if hog.sharer else []
    started = " ".join(['"$hog"', hog.name, hog.kind, *words])
    return f"home_{hog.name}={hog.cgroup}\npid_{hog.name}=$({started})"


def _amount(step: Step) -> int:
    return default_amount() if step.call.amount is None else step.call.amount


def _quoted(text: str) -> str:
    """Return a string of C; names of generated cgroups and hogs are ASCII."""
    return json.dumps(text)

"""What the pages of tests show, of each kind."""

import json
from dataclasses import replace

from oomctl.doctor import Examination, Finding
from oomctl.fleet.hosts import Host
from oomctl.fleet.results import FleetResult
from oomctl.oom import as_json
from oomctl.oom.enums import HostPhase, Role
from oomctl.oom.explanation import explanations
from oomctl.oom.flip import flips
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logtext import LogText
from oomctl.oom.log.reports import ReportsFromLog
from oomctl.oom.memcg import MemcgUsage
from oomctl.oom.prediction import Candidates
from oomctl.oom.reason import reason
from oomctl.oom.task import Task
from oomctl.report import (
    COMPARISON_RENDERERS,
    DOCTOR_RENDERERS,
    EXPLANATION_RENDERERS,
    FLEET_RENDERERS,
    FUZZ_RENDERERS,
    KERNELS_RENDERERS,
    KILLS_RENDERERS,
    PREDICTION_RENDERERS,
    RENDERERS,
    RUN_RENDERERS,
    SMOKE_RENDERERS,
    SUITES_RENDERERS,
)
from oomctl.report.kills import render_json
from oomctl.report.kills_saved import read_json
from oomctl.rounds.comparison import compare
from oomctl.rounds.kernels import KernelRecord, KernelsComparison
from oomctl.smoke.comparison import Comparison, KernelRun
from tests.outcomes import DEFAULT_RUN, ENVIRONMENT, OUTCOMES, TARGET, M, hog
from tests.rounds import RECORDS, head, recorded, section, sections
from tests.unit.report.test_cases import report


def crowd(hogs=300, cgroups=30):
    """An outcome of many hogs, of which one died."""
    rows = []
    for n in range(hogs):
        row = hog(1000 + n, f"hog-{n}", (n % 40 + 1) * M, "oom-killed" if n == 39 else "survived")
        cgroup = f"{TARGET}/service-{n % cgroups}"
        rows.append(replace(row, task=replace(row.task, cgroup=cgroup)))
    return replace(DEFAULT_RUN, tasks=tuple(rows))


def run_of(name):
    return section(RECORDS[name])


def drawn():
    """A run whose rounds have their samples."""
    rounds = [("", n, OUTCOMES["observed"]) for n in range(1, 6)]
    return section(recorded(head(""), rounds, drawn=True))


def comparison():
    runs = [one.run for one in sections(RECORDS["alone"])]
    return compare(runs, runs), ("6.12.jsonl", "7.3.jsonl")


def suite():
    one = report()
    other = replace(one, environment={**one.environment, "kernel": "7.3.4"})
    return [one, other]


def explained():
    text, reports = LogText(), ReportsFromLog()
    path = "tests/corpus/6.12-limit-dmesg.log"
    with open(path, "rb") as file:
        records = [record for line in file for record in text.records(line)]
    records += text.finish()
    return list(explanations(iter(records), reports)), path, 10


def predicted():
    tasks = [
        Task(20 + n, name, f"{TARGET}/{name}", adj, size * M, 0, 1 << 18, 0.0)
        for n, (name, adj, size) in enumerate(
            [("database", -200, 90), ("worker", 300, 40), ("sidecar", 0, 12), ("cron", 0, 2)]
        )
    ]
    given = Candidates(tasks, 64 << 10, 4096, frozenset())
    asked = [(reason(given.predict(), pid), flips(given, pid)) for pid in (20, 22)]
    return given.predict(), TARGET, None, asked


def examined():
    found = [
        Finding("ok", "kernel has bpf_out_of_memory()", name="kfunc"),
        Finding("warning", "swap is off, so no hog can be swapped", "run swapon", "swap"),
    ]
    return Examination("6.12.94", "x86_64", tuple(found))


def unfit():
    lacks = Finding("missing", "there is no cgroup v2", "boot with cgroup_no_v1=all", "cgroup2")
    return replace(examined(), findings=(lacks, *examined().findings))


def kernels():
    lost = KernelRecord("broken", None, (), "the guest's kernel panicked: Oops")
    return KernelsComparison(
        [
            KernelRecord("stock", 0, sections(RECORDS["alone"])),
            KernelRecord("7.3.4", 1, sections(RECORDS["alone"].replace("9000", "9100"))),
            lost,
        ]
    )


def kernel_suites(number=2):
    one = report()
    machine = [{**one.environment, "kernel": f"7.{n}.4"} for n in range(number)]
    runs = [
        KernelRun(f"kernel-{n}", replace(one, environment=each)) for n, each in enumerate(machine)
    ]
    return Comparison(one.cases, tuple(runs))


def fleet(of=None, number=4):
    """A fleet of which a kernel has died, and a host could not be reached."""
    counts = {"arguments": {"passed": 2}, "lock": {"passed": 1, "failed": 1}}
    hosts = [
        Host(f"m{n}.lab.example", HostPhase.DONE, n % 2, "", f"7.{n}.4", "", "lock.b", counts, 100)
        for n in range(1, number - 1)
    ]
    log = ("[   12.345678] BUG: unable to handle page fault", "[   12.345690] Oops: 0002 [#1]")
    reason = "begun last: lock.a; it has booted since"
    hosts.append(
        Host("dead.lab", HostPhase.KERNEL_DIED, 1, reason, "7.3.4", "", "lock.a", log=log, size=9)
    )
    gone = "Connection timed out"
    hosts.append(Host("gone.lab", HostPhase.UNREACHABLE, 4, gone, left="cannot be known"))
    return FleetResult(hosts, of)


def kills():
    """Kills that a watch has shown."""
    rows = []
    for n, (comm, memcg, adj) in enumerate([("web", "/a/web", 0), ("worker", None, 500)] * 3):
        kill = OomKill(
            at_ns=n * 10**9,
            pid=300 + n,
            comm=comm,
            role=Role.VICTIM,
            rss=(64 + n) * M,
            cgroup=memcg or "/user.slice/session-1.scope",
            invoker_pid=299,
            invoker_comm="systemd",
            invoker_cgroup=memcg or "/init.scope",
            order=0,
            constraint="memcg" if memcg else "none",
            memcg=memcg,
            memcg_id=8 if memcg else None,
            usage=MemcgUsage(128 * M, 128 * M, 0, None, {"anon": 120 * M}) if memcg else None,
            oom_score_adj=adj,
            exited_after_ns=21_000_000,
        )
        line = json.loads(render_json(kill)) | {"time": f"2026-01-27T10:15:0{n}.125+00:00"}
        rows.append(read_json(line))
    return rows


def hunt():
    """The report of a hunt with a finding, as plain values."""
    text = "the kernel killed b, the model a"
    finding = {"form": "0123456789ab", "case": "7:3.0", "seen": 5, "tried": 5, "shrunk": True}
    finding |= {"hogs": 2, "disagreements": [{"oracle": "victims", "text": text}]}
    return {
        "schema": 3,
        "environment": as_json.environment(ENVIRONMENT),
        "seed": 7,
        "end": "done",
        "seconds": 12.5,
        "experiments": 40,
        "rounds": {"agreed": 29, "explained": 0, "differs": 1, "not-filled": 0},
        "findings": [finding | {"scenario": '[hog.a]\nsize = "4M"\n'}],
        "repeated": {},
        "coverage": [{"what": "rule", "which": "largest", "rounds": 30}],
    }


RESULTS = {
    "declarations": (RENDERERS, "json", (OUTCOMES["observed"],)),
    "rounds": (RUN_RENDERERS, "json", ([run_of("beside")],)),
    "records": (RUN_RENDERERS, "jsonl", ([run_of("alone")],)),
    "hunt": (FUZZ_RENDERERS, "json", (hunt(),)),
    "suite": (SMOKE_RENDERERS, "jsonl", ([report()],)),
    "suite in JSON": (SMOKE_RENDERERS, "json", ([report()],)),
    "kills": (KILLS_RENDERERS, "jsonl", (kills(),)),
    "comparison": (COMPARISON_RENDERERS, "json", comparison()),
    "prediction": (PREDICTION_RENDERERS, "json", predicted()),
    "explanation": (EXPLANATION_RENDERERS, "json", (*explained()[:2], None)),
    "doctor": (DOCTOR_RENDERERS, "json", (unfit(),)),
    "two suites": (SMOKE_RENDERERS, "jsonl", (suite(),)),
    "kernels": (KERNELS_RENDERERS, "json", (kernels(),)),
    "suites": (SUITES_RENDERERS, "json", (kernel_suites(),)),
    "fleet of doctors": (FLEET_RENDERERS, "json", (fleet(),)),
    "fleet of suites": (FLEET_RENDERERS, "json", (fleet(kernel_suites(3)),)),
    "fleet of rounds": (FLEET_RENDERERS, "json", (fleet(kernels()),)),
}
"""One result of each kind: its renderers, the form in which it is saved, and what they take."""

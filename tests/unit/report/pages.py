"""What the pages of tests show, of each kind."""

from dataclasses import replace

from oomctl.oom.explanation import explanations
from oomctl.oom.flip import flips
from oomctl.oom.log.logtext import LogText
from oomctl.oom.log.reports import ReportsFromLog
from oomctl.oom.prediction import Candidates
from oomctl.oom.reason import reason
from oomctl.oom.task import Task
from oomctl.rounds.comparison import compare
from tests.outcomes import DEFAULT_RUN, TARGET, M, hog
from tests.rounds import RECORDS, section, sections
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

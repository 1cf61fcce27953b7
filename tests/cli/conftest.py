"""A machine that has everything, though no root, no cgroup2 and no kfunc is there."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from oomctl.oom.expectation import check_outcome
from oomctl.oom.task import Task
from tests.cli.runs import GOOD, LARGEST
from tests.machine import V3
from tests.outcomes import DEFAULT_RUN, ENVIRONMENT

RANKING = [
    (90, Task(77, "big", "/user", 5, 64 << 20, 0, 0, 0.0)),
    (80, Task(78, "next", "/user", 0, 32 << 20, 0, 0, 0.0)),
]


class Stand(SimpleNamespace):
    """What a test is given, short where a failed example shows it."""

    def __repr__(self):
        return "<the machine>"


@pytest.fixture
def machine(cgroupfs, monkeypatch):
    """It keeps the plans it is given; an experiment ends there as `machine.outcome` says."""

    class Session:
        def __init__(self, _root, _kfunc, confirm, _home=None):
            self.confirm = confirm

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def run(self, plan):
            made.plans.append(plan)
            if plan.system_wide:
                self.confirm(RANKING)
            if isinstance(made.outcome, BaseException):
                raise made.outcome
            return made.outcome

    made = Stand(outcome=DEFAULT_RUN, plans=[], root=cgroupfs)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("oomctl.proc.procfs.sees_init_pids", lambda: True)
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: V3)
    monkeypatch.setattr("oomctl.experiment.session.Session", Session)
    return made


@pytest.fixture
def stage(machine, monkeypatch, tmp_path):
    """What each round comes to, by plan; it keeps the plans and the trees that stood."""
    made = SimpleNamespace(
        plans=[], keep_tree=[], come=lambda number, plan: GOOD, here=tmp_path / "here"
    )

    class Session:
        environment = ENVIRONMENT

        def __init__(self, root, kfunc, confirm, home=None):
            self.confirm = confirm
            self.confirmed = False

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        @contextmanager
        def keep_tree(self, plan):
            made.keep_tree.append(plan)
            yield

        def run(self, plan):
            made.plans.append(plan)
            if plan.system_wide and not self.confirmed:
                self.confirm(RANKING)
                self.confirmed = True
            came = made.come(len(made.plans), plan)
            if isinstance(came, BaseException):
                raise came
            return replace(came, checks=check_outcome(plan, came))

    monkeypatch.setattr("oomctl.cli.run.Session", Session)
    made.here.mkdir()
    monkeypatch.chdir(made.here)
    Path("largest.toml").write_text(LARGEST)
    return made

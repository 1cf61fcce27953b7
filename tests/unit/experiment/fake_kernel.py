"""A kernel that is played, for real hogs in a fake cgroupfs."""

import os
import signal
import time
from dataclasses import replace

from oomctl.bpf.btf import Kfunc
from oomctl.errors import UnsupportedError
from oomctl.experiment.session import Session
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import parse_record
from oomctl.oom.plan import Call, Hog, Step
from oomctl.scenario import model, of_options, planning
from oomctl.scenario.planning import Site

M = 1 << 20
HOGS = Hog("small", M), Hog("large", 4 * M), Hog("medium", 2 * M)
EVENTS = "low 0\nhigh 0\nmax 0\noom 0\noom_kill {}\noom_group_kill {}\n"


class Kernel:
    """A fake DeclareProgram and kernel log; `react` is called for each call."""

    def __init__(self, root):
        self.root, self.records, self.calls, self.pids = root, [], [], {}
        self.react = lambda _call: 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def clear(self, slots):
        pass

    def words(self, call, cgroup_id):
        return {"call": call, "cgroup": cgroup_id}

    def together(self, trigger, callers, watch, timeout, tick=None, place=None):
        began = time.monotonic_ns()
        call = trigger.words["call"]
        self.calls.append((call, trigger.words["cgroup"]))
        ret = self.react(call)
        return [CallResult(Stage.CALLED, began, time.monotonic_ns(), ret) for _ in range(callers)]

    def read(self):
        records, self.records = tuple(map(parse_record, self.records)), []
        return KernelLog(records, 0)

    def says(self, pid, comm="x", memcg="/elsewhere"):
        numbers = "total-vm:1kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0"
        numbers += " pgtables:44kB oom_score_adj:0"
        target = self.calls[-1][0].target if self.calls else memcg
        cause = "Out" if target is None else "Memory cgroup out"
        constraint = "NONE" if target is None else "MEMCG"
        where = "global_oom" if target is None else f"oom_memcg={target}"
        for text in (
            f"oom-kill:constraint=CONSTRAINT_{constraint},nodemask=(null),cpuset=/,mems_allowed=0,"
            f"{where},task_memcg={memcg},task={comm},pid={pid},uid=0",
            f"{cause} of memory: Killed process {pid} ({comm}) {numbers}",
        ):
            self.records.append(f"3,1,1,-;{text}\n".encode())

    def kills(self, name, said=True):
        os.kill(self.pids[name], signal.SIGKILL)
        os.waitid(os.P_PID, self.pids[name], os.WEXITED | os.WNOWAIT)
        if said:
            self.says(self.pids[name], name, f"{self.target}/{name}")
            events = self.root.at(self.target).directory / "memory.events"
            events.write_text(EVENTS.format(1, 0))
        return 1


class NoTracing:
    def __init__(self, _root_id):
        pass

    def __enter__(self):
        raise UnsupportedError("a fake kernel runs no BPF programs")

    def __exit__(self, *_):
        raise AssertionError("was never entered")


class Tracing:
    """An observer that has seen the events of a list."""

    silent, lost = (), 0

    def __init__(self, events):
        self.events = events

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def fired(self):
        return {}

    def read(self):
        read, self.events[:] = list(self.events), []
        return read


def planned(kernel, hogs=HOGS, target="/t", **more):
    made = planning.plan(of_options(hogs, model.Call()), Site(lambda: "t", 1 << 40))
    kernel.target = "/t"
    step = Step(Call(target, more.pop("order", 0), 1), repeat=more.pop("repeat", 1))
    return replace(made, steps=(step,), timeout=20.0, **more)


def run(kernel, wanted, confirm=lambda ranking: None):
    with Session(kernel.root, Kfunc("vmlinux", ()), confirm) as session:
        return session.run(wanted)


def adj() -> str:
    with open("/proc/self/oom_score_adj") as file:
        return file.read()


def fates(outcome):
    return {row.name: str(row.fate) for row in outcome.tasks}

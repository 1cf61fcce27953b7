"""Cgroups that are gone, going, or without a memory controller: no task may die for them.

A NULL memcg means the whole system, so a program that passes on the NULL of the accessor kills
the largest task of the machine: oomctl's own program must not.
"""

import time
from collections.abc import Iterator

from oomctl.bpf.removed_memcg import RemovedMemcg
from oomctl.errors import OomctlError
from oomctl.oom.call import Stage
from oomctl.oom.outcome import Check
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import equal
from oomctl.smoke.runner import CaseRunner
from oomctl.smoke.spec import CaseSpec

_SECONDS = 5.0


def _not_called(runner: CaseRunner, cgroup_id: int, wanted: Stage) -> Iterator[Check]:
    stage, _ret = runner.call(cgroup_id, flags=1)
    yield equal("last stage of the program", wanted.name, stage.name)


def _removed(runner: CaseRunner) -> Iterator[Check]:
    with runner.tree(CaseSpec()) as top:
        cgroup_id = top.id
    yield from _not_called(runner, cgroup_id, Stage.NO_CGROUP)


def _no_controller(runner: CaseRunner) -> Iterator[Check]:
    with runner.tree(CaseSpec(cgroups=("parent",))) as top:
        child = top.at("parent").create_cgroup("child")
        try:
            yield from _not_called(runner, child.id, Stage.NO_MEMCG)
        finally:
            child.directory.rmdir()


def _controller_taken_away(runner: CaseRunner) -> Iterator[Check]:
    """Call until the memcg is gone: the kernel removes it in the background (kill_css)."""
    with runner.tree(CaseSpec(cgroups=("child",))) as top:
        top.controller.set_property(b"cgroup.subtree_control", "-memory")
        child, returned = top.at("child").id, set()
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            stage, ret = runner.call(child, flags=1)
            if stage is not Stage.CALLED:
                break
            returned.add(ret)
            time.sleep(0.01)
        yield equal("last stage of the program in the end", Stage.NO_MEMCG.name, stage.name)
        yield Check("all calls before that return 0", returned <= {0}, f"returned {returned}")


def _held(runner: CaseRunner) -> Iterator[Check]:
    with runner.tree(CaseSpec(cgroups=("target",))) as top, RemovedMemcg() as removed_memcg:
        target = top.at("target")
        ret = removed_memcg.declare_on_removed(target.id, target.directory.rmdir)
    if ret is None:
        raise OomctlError("the program did not get a reference to the memory cgroup")
    yield equal("result", 0, ret)


def _same_name(runner: CaseRunner) -> Iterator[Check]:
    """An id belongs to one cgroup, not to a name."""
    with runner.tree(CaseSpec()) as top:
        first = top.create_cgroup("same")
        old = first.id
        first.directory.rmdir()
        second = top.create_cgroup("same")
        try:
            yield from _not_called(runner, old, Stage.NO_CGROUP)
            yield Check("the ids differ", old != second.id, f"{old} and {second.id}")
        finally:
            second.directory.rmdir()


CASES = (
    Case("dying.removed", "the id of a removed cgroup finds no cgroup", _removed),
    Case(
        "dying.unknown",
        "an id that never belonged to a cgroup finds none",
        lambda runner: _not_called(runner, 2**63, Stage.NO_CGROUP),
    ),
    Case("dying.same-name", "the old id does not find a new cgroup of the same name", _same_name),
    Case("dying.no-controller", "below a parent without +memory there is no memcg", _no_controller),
    Case("dying.controller-taken-away", "after -memory there is no memcg", _controller_taken_away),
    Case(
        "dying.memcg-held-after-removal",
        "a memcg that a program still holds after its cgroup was removed: 0",
        _held,
        (facts.two_cpus,),
    ),
)

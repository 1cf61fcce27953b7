"""Cgroups that are gone, going, or without a memory controller: nobody may die for them.

NULL for a memcg means the whole system, so a program that lets the accessor's NULL fall through
kills the largest task of the machine: oomctl's own must not.
"""

import time
from collections.abc import Iterator

from oomctl.bpf.removed_memcg import RemovedMemcg
from oomctl.errors import OomctlError
from oomctl.oom.call import Stage
from oomctl.smoke import facts
from oomctl.smoke.cases.common import Case, CaseRunner, CaseSpec, Check, equal

_SECONDS = 5.0


def _not_called(runner: CaseRunner, cgroup_id: int, wanted: Stage) -> Iterator[Check]:
    stage, _ret = runner.ask(cgroup_id, flags=1)
    yield equal("how far the program came", wanted.name, stage.name)


def _removed(runner: CaseRunner) -> Iterator[Check]:
    with runner.tree(CaseSpec()) as top:
        cgroup_id = top.id
    yield from _not_called(runner, cgroup_id, Stage.NO_CGROUP)


def _unknown(runner: CaseRunner) -> Iterator[Check]:
    yield from _not_called(runner, 2**63, Stage.NO_CGROUP)


def _no_controller(runner: CaseRunner) -> Iterator[Check]:
    with runner.tree(CaseSpec(cgroups=("parent",))) as top:
        child = top.at("parent").create_cgroup("child")
        try:
            yield from _not_called(runner, child.id, Stage.NO_MEMCG)
        finally:
            child.directory.rmdir()


def _controller_taken_away(runner: CaseRunner) -> Iterator[Check]:
    """Ask until it is gone: the kernel takes it away in the background (kill_css)."""
    with runner.tree(CaseSpec(cgroups=("child",))) as top:
        top.controller.set_property(b"cgroup.subtree_control", "-memory")
        child, returned = top.at("child").id, set()
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            stage, ret = runner.ask(child, flags=1)
            if stage is not Stage.CALLED:
                break
            returned.add(ret)
            time.sleep(0.01)
        yield equal("how far the program came in the end", Stage.NO_MEMCG.name, stage.name)
        yield Check("until then nobody died of it", returned <= {0}, f"returned {returned}")


def _held(runner: CaseRunner) -> Iterator[Check]:
    with runner.tree(CaseSpec(cgroups=("target",))) as top, RemovedMemcg() as removed_memcg:
        target = top.at("target")
        ret = removed_memcg.declare_on_removed(target.id, target.directory.rmdir)
    if ret is None:
        raise OomctlError("the program did not get hold of the memory cgroup")
    yield equal("returned", 0, ret)


def _new_with_old_name(runner: CaseRunner) -> Iterator[Check]:
    """Check that an id is that of one cgroup and not of a name."""
    with runner.tree(CaseSpec()) as top:
        first = top.create_cgroup("same")
        old = first.id
        first.directory.rmdir()
        again = top.create_cgroup("same")
        try:
            yield from _not_called(runner, old, Stage.NO_CGROUP)
            yield Check("the ids differ", old != again.id, f"{old} and {again.id}")
        finally:
            again.directory.rmdir()


CASES = (
    Case("dying.removed", "no cgroup has the id of a removed one", _removed),
    Case("dying.unknown", "nor one that never was", _unknown),
    Case("dying.same-name", "a cgroup made under the same name is another", _new_with_old_name),
    Case(
        "dying.no-controller", "a parent without +memory: the accessor gives NULL", _no_controller
    ),
    Case("dying.controller-taken-away", "after -memory it gives NULL too", _controller_taken_away),
    Case(
        "dying.removed-meanwhile",
        "a memcg that a program still holds when its cgroup is gone: 0",
        _held,
        (facts.two_cpus,),
    ),
)

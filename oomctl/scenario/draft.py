"""An experiment whose tree has no place yet, and the plan that it becomes in one. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from oomctl.oom.plan import Action, Expect, Hog, Plan, Setting, Step, Sysctl
from oomctl.scenario.names import TOP, above, down_to, parent

Files = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Draft:
    """A plan with paths relative to its top cgroup: `.` is the top, `left/inner` is below it.

    A path that begins with `/` is an existing cgroup. A hog without a cgroup gets a leaf of its
    own name.
    """

    hogs: tuple[Hog, ...] = ()
    files: Files = field(default_factory=dict)
    """What is written into each cgroup before it has children. Empty: no cgroup is made at all."""
    steps: tuple[Step, ...] = ()
    expect: Expect | None = None
    cgroups: tuple[str, ...] = ()
    """Cgroups that are made although no hog lives in them and nothing is written."""
    timeout: float = 30.0
    sysctls: tuple[Sysctl, ...] = ()
    no_controller: tuple[str, ...] = ()
    """Cgroups that do not give the memory controller to their children."""
    actions: tuple[Action, ...] = ()

    def plan(self, top: str, given: Collection[str] | None = None) -> Plan:
        """Return the plan with `top` as the path of the top cgroup.

        `given` are the controllers that the parent of the top gives to its children, if the parent
        must not be changed; None enables there what the tree needs.
        """
        targets = (step.call.target for step in self.steps if step.call.target)
        watched = top if self.files else next(targets, None)

        def at(path: str) -> str:
            if path == TOP:
                return watched or ""
            return path if path.startswith("/") else f"{top}/{path}"

        cgroups = self._cgroups()
        expect = self.expect and replace(
            self.expect,
            events={
                (at(cgroup), file): counters
                for (cgroup, file), counters in self.expect.events.items()
            },
        )
        return Plan(
            cgroups=tuple(map(at, cgroups)),
            settings=tuple(
                Setting(at(cgroup), file, value, optional)
                for cgroup, file, value, optional in self._settings(
                    cgroups, parent(top) or "/", given
                )
            ),
            hogs=tuple(
                replace(
                    hog,
                    cgroup=at(hog.cgroup or hog.name),
                    sharer=hog.sharer and at(hog.sharer),
                )
                for hog in self.hogs
            ),
            steps=tuple(
                replace(
                    step,
                    call=replace(step.call, target=step.call.target and at(step.call.target)),
                    caller_cgroup=step.caller_cgroup and at(step.caller_cgroup),
                )
                for step in self.steps
            ),
            top=watched,
            sysctls=self.sysctls,
            timeout=self.timeout,
            expect=expect,
            actions=tuple(
                replace(action, cgroup=action.cgroup and at(action.cgroup))
                for action in self.actions
            ),
        )

    def _cgroups(self) -> list[str]:
        """Return every cgroup to make, parents before their children."""
        if not self.files:
            return []
        wanted = [*self.files, *self.cgroups, *(hog.cgroup or hog.name for hog in self.hogs)]
        wanted += [hog.sharer for hog in self.hogs if hog.sharer]
        wanted += [step.caller_cgroup for step in self.steps if step.caller_cgroup]
        return list(dict.fromkeys([TOP, *(each for path in wanted for each in down_to(path))]))

    def _settings(
        self, cgroups: list[str], top_parent: str, given: Collection[str] | None
    ) -> Iterator[tuple[str, str, str, bool]]:
        """Yield what settings have, in order: limits first, then the controllers for children."""
        inner = {parent(each) for each in cgroups if each != TOP}
        counted = [each for each, files in self.files.items() if "pids.max" in files]
        counted += [action.cgroup for action in self.actions if action.file == "pids.max"]
        counting = {up for each in counted for up in above(each)}
        if cgroups and given is None:
            yield _controller(top_parent, "memory")
            if counted:
                yield _controller(top_parent, "pids")
        for cgroup in cgroups:
            for file, value in self.files.get(cgroup, {}).items():
                # a kernel without swap needs no file to swap nothing; other values need the file
                yield cgroup, file, value, value == "0" and "swap" in file
            gives = cgroup in inner and cgroup not in self.no_controller
            if gives and (given is None or "memory" in given):
                yield _controller(cgroup, "memory")
            if cgroup in counting:
                yield _controller(cgroup, "pids")


def _controller(cgroup: str, name: str) -> tuple[str, str, str, bool]:
    return cgroup, "cgroup.subtree_control", f"+{name}", False

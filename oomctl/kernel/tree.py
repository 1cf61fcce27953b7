"""The cgroups of a plan on disk: made when the block is entered, gone when it is left."""

import shlex
from typing import Self

from oomctl import talk
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.plan import Plan, Setting


class Tree:
    """Makes a plan's cgroups in order and writes its settings; removes only what it made.

    A controller that it enables for the children of an existing cgroup stays enabled: another run
    may rely on it by then.
    """

    def __init__(self, root: UnifiedNode, plan: Plan) -> None:
        self._root = root
        self._plan = plan
        self._made: list[UnifiedNode] = []

    def __enter__(self) -> Self:
        """Make everything, or nothing."""
        made_later = set(self._plan.cgroups)
        try:
            for setting in self._plan.settings:
                if setting.cgroup not in made_later:
                    self._write(setting)
            for cgroup in self._plan.cgroups:
                parent, _, name = cgroup.rpartition("/")
                self._made.append(self._root.at(parent).create_cgroup(name))
                talk.detail(f"made the cgroup {self._made[-1].directory}")
                for setting in self._plan.settings:
                    if setting.cgroup == cgroup:
                        self._write(setting)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        """Remove what was made; after an error also if it was to be kept."""
        if self._plan.keep and kind is None:
            for node in self._tops():
                path = shlex.quote(str(node.directory))
                talk.note(
                    f"kept {node.directory}; to remove it: `echo 1 > {path}/cgroup.kill; "
                    f"find {path} -depth -type d -exec rmdir {{}} +`"
                )
        else:
            self._remove()

    def _tops(self) -> list[UnifiedNode]:
        made = {node.cgroup for node in self._made}
        return [node for node in self._made if node.parent.cgroup not in made]

    def _remove(self) -> None:
        for node in self._tops():
            node.destroy()
        self._made.clear()

    def _write(self, setting: Setting) -> None:
        node = self._root.at(setting.cgroup)
        if setting.optional and not (node.directory / setting.file).exists():
            return
        if setting.file == "cgroup.subtree_control" and setting.value.removeprefix("+") in (
            node.controller.subtree_control or ()
        ):
            return
        node.controller.set_property(setting.file.encode(), setting.value)
        talk.detail(f"wrote {setting.value} to {node.directory / setting.file}")

"""The cgroups of a plan: made when the block is entered, removed when it is left."""

from typing import Self

from oomctl import console
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.owned import JournaledCgroup
from oomctl.errors import OomctlError
from oomctl.journal.entries import Stays, tops
from oomctl.journal.file import Journal
from oomctl.oom.plan import Plan, Setting
from oomctl.text import quoted


class Tree:
    """Makes a plan's cgroups in order and writes its settings; removes only what it made.

    A controller that it enables for the children of an existing cgroup stays enabled: another run
    may depend on it by then.
    """

    def __init__(self, root: UnifiedNode, plan: Plan, journal: Journal) -> None:
        self._root = root
        self._plan = plan
        self._journal = journal
        self._made: list[JournaledCgroup] = []
        self._stays: list[Stays] = []

    def __enter__(self) -> Self:
        """Make all of it, or nothing."""
        settings_of: dict[str, list[Setting]] = {cgroup: [] for cgroup in self._plan.cgroups}
        try:
            for setting in self._plan.settings:
                if setting.cgroup in settings_of:
                    settings_of[setting.cgroup].append(setting)
                else:
                    self._write(setting, stays=True)
            for cgroup, settings in settings_of.items():
                parent, _, name = cgroup.rpartition("/")
                self._made.append(JournaledCgroup.make(self._root.at(parent), name, self._journal))
                for setting in settings:
                    self._write(setting)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        """Remove what was made, unless it is to be kept; after an error always."""
        if self._plan.keep and kind is None:
            for one in self._tops():
                path = quoted(str(one.node.directory))
                console.note(
                    f"kept {one.node.directory}; to remove it: `echo 1 > {path}/cgroup.kill; "
                    f"find {path} -depth -type d -exec rmdir {{}} +`"
                )
            self._release()
        else:
            self._remove()

    def _tops(self) -> list[JournaledCgroup]:
        highest = set(tops(one.made for one in self._made))
        return [one for one in self._made if one.made in highest]

    def _remove(self) -> None:
        """Remove what can be removed; the rest stays in the journal."""
        failed: OomctlError | None = None
        for one in self._tops():
            try:
                one.remove()
            except OomctlError as error:
                failed = failed or error
        if failed:
            raise failed
        self._release()

    def _release(self) -> None:
        entries = [entry for one in self._made for entry in one.entries]
        self._journal.forget(*entries, *self._stays)
        self._made.clear()
        self._stays.clear()

    def _write(self, setting: Setting, stays: bool = False) -> None:
        node = self._root.at(setting.cgroup)
        path = node.directory / setting.file
        if setting.optional and not path.exists():
            return
        if setting.file == "cgroup.subtree_control" and setting.value.removeprefix("+") in (
            node.controller.subtree_control or ()
        ):
            return
        if stays:
            self._stays.append(Stays(str(path), setting.value))
            self._journal.write(self._stays[-1])
        node.controller.set_property(setting.file.encode(), setting.value)
        console.detail(f"wrote {setting.value} to {path}")

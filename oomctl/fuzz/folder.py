"""The folder that findings are written to; what is there already is known."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from oomctl import console
from oomctl.errors import OomctlError, UsageError
from oomctl.fuzz import repro
from oomctl.fuzz.case import Case
from oomctl.fuzz.finding import FILE, Finding, known_forms
from oomctl.fuzz.hunt import Trial
from oomctl.fuzz.oracles import Disagreement
from oomctl.oom.enums import Oracle, ReproForm

UNDER_WAY = re.compile(r"under-way-([0-9a-f]{12}\.toml)")
"""The name of the file of a case that is being carried out."""
_STOPPED = Disagreement(Oracle.CARRIED_OUT, "the machine stopped, or oomctl was killed")
Run = Callable[[Case, str], Trial]


class Folder:
    """A folder of findings; without a path they are only reported.

    With `form` each finding is written as a program without oomctl, too.
    """

    def __init__(self, path: Path | None, form: ReproForm | None = None) -> None:
        self._path = path
        self._form = form
        self._is_new = False
        self.known: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        """Make the folder, or read what it holds; UsageError if it has other things."""
        if self._path is None:
            return self
        try:
            self._is_new = not self._path.exists()
            self._path.mkdir(exist_ok=True)
            self._keep_stopped(self._path)
            names = sorted(path.name for path in self._path.iterdir())
        except OSError as error:
            why = f"--out {self._path}: {error.strerror}"
            raise UsageError(why, "name a folder that you can write to") from error
        other = [name for name in names if not FILE.fullmatch(name)]
        if other:
            what = f"--out {self._path}: it has other things than findings, such as {other[0]!r}"
            raise UsageError(what, "name a new folder, or one that `oomctl fuzz` has made")
        self.known = known_forms(names)
        return self

    def __exit__(self, *_exc: object) -> None:
        """Remove a folder that was made for nothing."""
        if self._path and self._is_new and not any(self._path.iterdir()):
            self._path.rmdir()

    def watched(self, run: Run, kernel: str) -> Run:
        """Return `run`, which keeps its case in the folder while it is carried out.

        So a case that the machine does not survive is a finding when oomctl comes back.
        """
        folder = self._path
        if folder is None:
            return run

        def run_watched(case: Case, origin: str) -> Trial:
            finding = Finding(case, origin, (_STOPPED,), (), 0, 1, False, kernel)
            path = folder / finding.file_name.replace("finding", "under-way")
            _write(path, finding.text(), lasting=True)
            try:
                return run(case, origin)
            finally:
                path.unlink()

        return run_watched

    def _keep_stopped(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if match := UNDER_WAY.fullmatch(path.name):
                finding = path.replace(folder / f"finding-{match[1]}")
                console.note(f"finding {finding.name}: {_STOPPED.text} before its case had ended")

    def keep(self, finding: Finding) -> None:
        """Write a finding to a new file; OomctlError if it cannot be written."""
        console.note(f"finding {finding.form}: {finding.rate}, {'; '.join(finding.oracles)}")
        if self._path is None:
            return
        path = self._path / finding.file_name
        _write(path, finding.text())
        if self._form and repro.is_possible(finding):
            program = path.with_suffix(f".{self._form}")
            _write(program, repro.text(finding, self._form), 0o777)
        elif self._form:
            known = ", ".join(repro.KINDS)
            console.note(f"no --repro of it: that makes hogs of {known}, no steps and no sysctl")


def _write(path: Path, text: str, mode: int = 0o666, lasting: bool = False) -> None:
    try:
        with open(path, "x", encoding="utf-8", opener=partial(os.open, mode=mode)) as file:
            file.write(text)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        why = f"cannot write {path}: {error.strerror}"
        raise OomctlError(why, "free some space or name another folder") from error

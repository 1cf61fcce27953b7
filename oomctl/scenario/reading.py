"""From files to scenarios: read, parsed, overridden, checked; all faults of all files at once."""

import tomllib
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from oomctl.files.infile import open_input
from oomctl.scenario import overrides
from oomctl.scenario.fault import VARY, Fault, Origin, ScenarioError, news
from oomctl.scenario.rules import rules
from oomctl.scenario.validation import validated
from oomctl.scenario.written import Scenario

_TOO_LARGE = 1 << 20


def load_all(
    paths: Sequence[Path],
    changes: Sequence[str] = (),
    memory: int | None = None,
    varied: Sequence[str] = (),
    texts: MutableMapping[Path, str] | None = None,
) -> list[Scenario]:
    """Load scenario files, each with the same overrides; ScenarioError with every fault.

    `texts` keeps what was read for the next call: a pipe can be read only once.
    """
    texts = {} if texts is None else texts
    found: list[Scenario] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            found.append(load(path, changes, memory, varied, texts))
        except ScenarioError as error:
            faults += error.faults
    if faults:
        raise ScenarioError(faults)
    return found


def load(
    path: Path,
    changes: Sequence[str] = (),
    memory: int | None = None,
    varied: Sequence[str] = (),
    texts: MutableMapping[Path, str] | None = None,
) -> Scenario:
    """Load one scenario file; ScenarioError with every fault."""
    texts = {} if texts is None else texts
    if path not in texts:
        texts[path] = _read(path)
    source = texts[path]
    try:
        raw = _parse(path, source)
        if not raw:
            raise _refusal(path, "says nothing", "write at least a [hog.NAME] or a [[call]]")
        given, faults = overrides.applied(raw, changes)
        more, others = overrides.applied(raw, varied, VARY)
        origin = Origin(str(path), (*given, *more))
        return scenario(
            raw,
            "stdin" if str(path) == "-" else path.stem,
            source,
            origin,
            memory,
            [*faults, *others],
        )
    except RecursionError:
        raise _refusal(path, "is nested too deeply", "a scenario has five levels") from None


def scenario(
    raw: dict[str, Any],
    name: str,
    source: str,
    origin: Origin,
    memory: int | None = None,
    faults: Sequence[Fault] = (),
) -> Scenario:
    """Make a scenario of what TOML has; ScenarioError with every fault. `raw` is used up.

    `memory` are the bytes of the machine if they matter, `faults` those that are known already.
    """
    file, found = validated(raw)
    if file is not None:
        made = Scenario(name, source, file, origin)
        found += news(rules.faults(made.sizes(memory)), found)
        if not found and not faults:
            return made
    raise ScenarioError([*faults, *map(origin, found)])


def _read(path: Path) -> str:
    try:
        with open_input(path) as file:
            data = file.read(_TOO_LARGE + 1)
        if len(data) > _TOO_LARGE:
            raise _refusal(path, "is too large for a scenario", "1M at most")
        return data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise _refusal(path, f"is not UTF-8 text (byte {error.start})", "TOML is text") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        why = getattr(error, "strerror", None) or str(error)
        raise _refusal(path, f"cannot be read: {why}", "name a TOML file") from None


def _parse(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except ValueError as error:  # also an integer of too many digits
        why = str(error).partition("; use sys.")[0]  # advice for Python's authors
        unquoted = why.startswith(("Invalid value", "Expected newline"))
        hint = "strings need quotes: size = '64M'" if unquoted else ""
        raise _refusal(path, f"not TOML: {why}", hint) from None


def _refusal(path: Path, what: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault((), what, hint, where=str(path))])

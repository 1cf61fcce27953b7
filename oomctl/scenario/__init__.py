"""Experiments as TOML files describe them. Importing this is cheap; reading a file is not."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oomctl.oom.plan import Hog
from oomctl.scenario.overrides import vary

if TYPE_CHECKING:
    from oomctl.scenario.written import Scenario

__all__ = ["load", "load_all", "of_options", "schema", "vary"]


def load(path: Path, overrides: Sequence[str] = (), memory: int | None = None) -> Scenario:
    """Load a scenario file with `--set` overrides; ScenarioError with every fault.

    With the machine's `memory` in bytes, what the machine is too small for is a fault as well.
    """
    from oomctl.scenario import reading

    return reading.load(path, overrides, memory)


def load_all(
    paths: Sequence[Path],
    overrides: Sequence[str] = (),
    memory: int | None = None,
    varied: Sequence[str] = (),
    texts: MutableMapping[Path, str] | None = None,
) -> list[Scenario]:
    """Load files, each with the same overrides; ScenarioError with every fault of every file.

    `varied` are overrides of one variant, which `--vary` gave; `texts` keeps what was read for the
    next variant, since a pipe can be read only once.
    """
    from oomctl.scenario import reading

    return reading.load_all(paths, overrides, memory, varied, texts)


def of_options(
    hogs: Sequence[Hog],
    call: Mapping[str, Any],
    *,
    memory_max: int | None = None,
    swap_max: int | None = None,
    oom_group: bool = False,
    timeout: float = 30.0,
) -> Scenario:
    """Make the scenario that the options of `oomctl declare` describe; its faults speak of them.

    `call` has the keys of a [[call]]. Sizes are bytes, `timeout` is in seconds.
    """
    from oomctl.scenario import from_options

    return from_options.scenario(hogs, call, memory_max, swap_max, oom_group, timeout)


def schema() -> dict[str, Any]:
    """Return the JSON schema of scenario files, for editors."""
    from oomctl.scenario import jsonschema

    return jsonschema.schema()

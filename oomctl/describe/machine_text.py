"""The machine in one line: its kernel, and where that has the kfunc from."""

from collections.abc import Mapping
from typing import Any

from oomctl.oom import as_json
from oomctl.oom.outcome import Environment


def machine_line(environment: Environment | Mapping[str, Any]) -> str:
    """Name kernel, kfunc and oomctl; a mapping is the environment as JSON, as a record has it."""
    if isinstance(environment, Environment):
        environment = as_json.environment(environment)
    kfunc = environment.get("kfunc")
    kfunc = kfunc if isinstance(kfunc, dict) else {}
    provider = kfunc.get("provider", "?")
    where = provider if provider == "vmlinux" else f"module {provider}"
    return (
        f"Linux {environment.get('kernel', '?')}, kfunc {kfunc.get('variant', '?')} from {where}, "
        f"oomctl {environment.get('oomctl', '?')}"
    )

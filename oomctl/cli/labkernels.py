"""`oomctl lab kernels`: the kernels in the cache, and what they were built from."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from oomctl.cli import completion, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import value
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.lab import cached
from oomctl.lab.cached import CachedKernel
from oomctl.oom.as_json import SCHEMA
from oomctl.report import PlainFormat
from oomctl.report.parts import Table, as_text
from oomctl.units import format_size


@dataclass(frozen=True)
class KernelsOptions:
    """The options of `oomctl lab kernels`."""

    remove: Annotated[
        list[str] | None,
        value(
            "NAME",
            "Remove this kernel, or these objects, unless in use; may be repeated.",
            autocompletion=completion.cached_kernels,
        ),
    ] = None
    form: Annotated[PlainFormat, options.form(PlainFormat)] = "table"
    output: options.OutputFile = None


@command("listed, or removed", environment=[CACHE])
def kernels(given: KernelsOptions) -> None:
    """List the kernels in the cache, or remove some.

    For each it shows whether bpf_out_of_memory() is built in, or comes as a module; the size on the
    disk; and when the kernel was last booted. --kernel takes the names. `objects` are the source
    and the objects of builds, from which the next build goes on.

    Examples:
      oomctl lab kernels
      oomctl lab kernels --remove 6.12.95+deb12-amd64
    """
    if given.remove:
        names = cached.names()
        for name in given.remove:
            if name not in names:
                raise UsageError(
                    f"--remove {name}: the cache has no such kernel",
                    f"it has {', '.join(names)}" if names else "it is empty",
                )
        for name in given.remove:
            cached.remove(name)
        return
    with Output(given.output) as place:
        found = cached.kernels()
        place.write(_json(found) if given.form == "json" else _table(found, place.width))


def _table(found: list[CachedKernel], width: int | None) -> str:
    if not found:
        return "no kernels yet: oomctl lab fetch, or oomctl lab build\n"
    headers = ["name", "flavour", "kfunc", "size", "last used", "state"]
    rows = [
        [
            each.name,
            each.flavour,
            each.kfunc or "-",
            format_size(each.size),
            f"{datetime.fromtimestamp(each.last_used):%Y-%m-%d %H:%M}",
            each.damage or ("in use" if each.in_use else ""),
        ]
        for each in found
    ]
    prose = {"state": 16} if any(each.damage for each in found) else {}
    return as_text([Table(headers, rows, numbers=["size"], prose=prose)], terminal=width)


def _json(found: list[CachedKernel]) -> str:
    return json.dumps({"schema": SCHEMA, "kernels": [*map(_tree, found)]}, indent=2) + "\n"


def _tree(each: CachedKernel) -> dict[str, Any]:
    tree = asdict(each)
    size, used = tree.pop("size"), tree.pop("last_used")
    tree["damage"] = tree["damage"] or None
    return {
        **tree,
        "size_bytes": size,
        "last_used": datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds"),
    }

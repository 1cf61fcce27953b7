"""Results as rows of CSV: the fields of their JSON, nested ones by their joined names."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from oomctl.text import printable


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a header and a line for each row; what is not known is empty."""
    flat = [dict(_flat(row)) for row in rows]
    written = io.StringIO()
    names = dict.fromkeys(name for row in flat for name in row)
    writer = csv.DictWriter(written, [*names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return written.getvalue()


def _flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}_")
        elif isinstance(value, list | tuple):
            yield f"{above}{name}", " ".join(printable(str(each)) for each in value)
        else:
            yield f"{above}{name}", printable(value) if isinstance(value, str) else value

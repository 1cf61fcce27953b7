"""`python -m benchmarks`: measures, and prints a table; see `make bench`."""

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks import guest, host, lab, show
from benchmarks.measure import Result, Row, run
from oomctl.report.parts import as_markdown, as_text


def main() -> None:
    """Measure the rows that were asked for, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each [15]")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has this")
    parser.add_argument("--json", type=Path, help="write every value to this file")
    parser.add_argument("--svg", type=Path, help="write the picture to this file")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], help="an older checkout, measured too"
    )
    parser.add_argument("--lab", metavar="KERNEL", help="measure the lab too, with this kernel")
    parser.add_argument("--guest", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = _measure(given, Path(folder))
    made = show.table(results)
    print(show.machine(), as_text([made], 120), sep="\n\n", end="")
    if given.json:
        given.json.write_text(json.dumps(show.as_json(results), indent=2) + "\n")
    if given.svg:
        given.svg.write_text(show.picture(results))
    if given.page:
        show.write_page(given.page, as_markdown([made]))


def _measure(given: argparse.Namespace, scratch: Path) -> list[Result]:
    def chosen(rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if given.only in row.name]

    if given.guest:
        results = run(chosen(guest.rows(given.guest, scratch)), given.rounds)
        return results + run(chosen(guest.large_rows(given.guest, scratch)), 1, warm_up=0)
    beside = [each.resolve() for each in given.beside]
    results = run(chosen(host.rows(scratch, beside)), given.rounds)
    if given.lab:
        rounds = min(given.rounds, lab.ROUNDS)
        with lab.rows(given.lab, scratch) as rows:
            results += run(chosen(rows), rounds)
        results += run(chosen([lab.smoke(given.lab, scratch)]), 1, warm_up=0)
        results += lab.guest_results(given.lab, scratch, rounds, given.only)
    return results


if __name__ == "__main__":
    main()

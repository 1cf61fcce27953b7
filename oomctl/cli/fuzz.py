"""`oomctl fuzz`: random experiments against the model."""

import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, get_args

import typer

from oomctl import console
from oomctl.cli import forms, kept, options
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.cli.options import flag, integer, value
from oomctl.errors import UsageError
from oomctl.experiment.environment import require_machine
from oomctl.fuzz.bench import Bench, require_machine_for
from oomctl.fuzz.folder import Folder
from oomctl.fuzz.hunt import MOST_FINDINGS, Hunt, Trial
from oomctl.fuzz.loop import End, FuzzReport, fuzz_rounds
from oomctl.fuzz.weights import FUZZED, SAYABLE, Weights, most_memory
from oomctl.oom.enums import ReproForm
from oomctl.oom.plan import HogKind
from oomctl.report import FUZZ_RENDERERS, ShortFormat
from oomctl.report.fuzz_parts import tree
from oomctl.rounds.progress import Progress
from oomctl.text import counted
from oomctl.units import Duration, format_size

_ROUNDS = 100
_SWAP = 0.4
"""The share of cases with swap, on a machine that has some."""
_KINDS = get_args(HogKind)


def _kinds(text: str) -> str:
    """Refuse names that are no kinds of hogs."""
    unknown = [name for name in text.split(",") if name not in _KINDS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not a kind of hog; take {', '.join(_KINDS)}")
    return text


@dataclass(frozen=True)
class FuzzOptions:
    """The options of `oomctl fuzz`."""

    duration: Annotated[
        Duration | None,
        value(
            "TIME",
            "Run for this time, such as 90s or 10m, or until --rounds ends.",
            *(options.duration(1e-6, 366 * 86_400), "--for"),
        ),
    ] = None
    rounds: Annotated[
        int | None,
        value(
            "N",
            f"Rounds, each of a new case. [default: {_ROUNDS}, or any number with --for]",
            integer(1, 1_000_000_000),
        ),
    ] = None
    findings: Annotated[
        int,
        value(
            "N",
            f"End after so many new findings that were seen again. [default: {MOST_FINDINGS}]",
            integer(1, 1_000_000),
        ),
    ] = MOST_FINDINGS
    seed: Annotated[
        int | None,
        value(
            "SEED",
            "What the cases come from: a number below 2^64. [default: a random one, shown]",
            integer(0, 2**64 - 1),
        ),
    ] = None
    only: Annotated[
        str | None,
        value(
            "KIND,...",
            "Only hogs of these kinds, such as anon,shmem; hugetlb, which sets vm.nr_hugepages, "
            "only if it is named. [default: all others]",
            _kinds,
        ),
    ] = None
    out: Annotated[
        Path | None,
        value(
            "DIR",
            "Write each finding to a scenario file in this folder as soon as it is shrunk; "
            "findings that are there already are not reported again.",
        ),
    ] = None
    repro: Annotated[
        ReproForm | None,
        value(
            "c|sh",
            "Write each finding as one C file or shell script too, which needs no oomctl.",
        ),
    ] = None
    switches: Annotated[
        bool,
        flag(
            "--switches",
            "Also set MGLRU, transparent huge pages, vm.swappiness and vm.overcommit_memory at "
            "random, before and while calls are made. They are the whole machine's, and restored "
            "after each round.",
        ),
    ] = False
    formats: Annotated[forms.Given, forms.option(ShortFormat)] = None
    output: options.OutputFile = None

    @property
    def kinds(self) -> tuple[HogKind, ...]:
        """The kinds of hogs to make."""
        named = self.only.split(",") if self.only else FUZZED
        return tuple(kind for kind in _KINDS if kind in named)

    @property
    def most_rounds(self) -> int | None:
        """The number of rounds after which it ends; None if time ends it."""
        return self.rounds or (None if self.duration else _ROUNDS)

    def weights(self, swap: bool) -> Weights:
        """Return what cases have; swap only on a machine that has some."""
        special = 1.0 if self.only else SAYABLE.special
        share = _SWAP if swap else 0.0
        return replace(SAYABLE, kinds=self.kinds, special=special, swap=share)


@command(
    "no experiment differed from the model, or only as a known finding does",
    "a new finding",
    environment=[CACHE, RUN_DIR],
)
def fuzz(given: FuzzOptions) -> None:
    """Run random experiments, and shrink what differs from the model.

    Each round makes a small random tree below the cgroup root, with random limits, groups and hogs,
    declares OOM on one of its own cgroups, and holds the dead, the return value, the counters, the
    kernel log and the tracepoints against the model and against each other. It never declares OOM
    on the whole system. A case that differs is tried again, shrunk to the smallest scenario that
    still differs, confirmed, and reported with both sides' words. The cases that are likely to
    exercise what was rare so far come first.

    It keeps to its own cgroups. --switches, and --only hugetlb, change the whole machine.

    Examples:
      oomctl fuzz --rounds 30
      oomctl fuzz --for 10m --out findings
      oomctl fuzz --seed 7 --rounds 50 --only anon,shmem -f json
      oomctl lab run -- oomctl fuzz --for 10m
    """
    if given.repro and not given.out:
        raise UsageError("--repro writes into a folder", "name one with --out")
    seed = secrets.randbits(32) if given.seed is None else given.seed
    with (
        forms.Places(forms.of(given.formats), given.output) as places,
        Folder(given.out, given.repro) as folder,
    ):
        report = _run(given, seed, folder, places)
    raise typer.Exit(report.exit)


def _run(given: FuzzOptions, seed: int, folder: Folder, places: forms.Places) -> FuzzReport:
    """Run the rounds and write the report, whatever ends them."""
    root, kfunc = require_machine()
    began = time.monotonic()
    with Bench(root, kfunc) as bench:
        weights = given.weights(swap=bench.environment.swap > 0)
        if given.switches:
            weights = replace(weights, switches=bench.switches())
        most = most_memory(weights)
        require_machine_for(most)
        limit = counted(given.most_rounds, "round") if given.most_rounds else "rounds"
        during = f" for {given.duration}" if given.duration else ""
        console.note(
            f"{limit}{during} with seed {seed}: each in a tree of its own below {root.directory}, "
            f"at most {format_size(most)} of hogs, no OOM on the whole system"
        )
        if given.switches:
            named = ", ".join(switch.file for switch in weights.switches) or "none that can be set"
            console.note(f"settings of the whole machine during a round: {named}")
        kernel = bench.environment.kernel
        run = folder.watched(bench.run, kernel)
        told = folder.known, _tell, folder.keep
        hunt = Hunt(run, seed, weights, kernel, *told, most_findings=given.findings)
        end: End = "interrupted"

        def report() -> FuzzReport:
            rows = tuple(hunt.coverage.rows(weights.kinds))
            seconds = time.monotonic() - began
            counts = dict(hunt.agreements), tuple(hunt.findings), dict(hunt.repeated)
            about = bench.environment, seed, seconds, hunt.experiments
            return FuzzReport(*about, *counts, rows, end)

        try:
            with Progress("fuzz", given.most_rounds, given.duration) as progress:
                end = fuzz_rounds(hunt, given.most_rounds, given.duration, progress.done)
        except BaseException as error:
            end = "failed" if isinstance(error, Exception) else "interrupted"
            if hunt.experiments:  # whatever ended them, the rounds before it count
                places.write(FUZZ_RENDERERS, tree(report()))
            raise
        done = report()
        kept.keep("fuzz", lambda: FUZZ_RENDERERS["json"](tree(done)))
        places.write(FUZZ_RENDERERS, tree(done))
        kept.next_step(given.formats)
    return done


def _tell(origin: str, trial: Trial) -> None:
    first = trial.disagreements[0]
    console.note(f"case {origin} differs, and is confirmed and shrunk: {first}")

"""Exit codes as other harnesses read them: `--exit-codes`, and `--bisect` of the suite."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer

from oomctl.cli.command import Command
from oomctl.cli.options import value
from oomctl.errors import Exit

UNTESTABLE = 125
"""What `git bisect run` reads as neither good nor bad; from 128 on it gives up."""

_OK_OR_FAILED: dict[int, int] = {Exit.OK: 0, Exit.NOT_AS_WANTED: 1}
_CODES: Mapping[str, tuple[Mapping[int, int], int]] = {
    # tools/testing/selftests/kselftest.h: 2 and 3 would be an expected failure and its opposite
    "kselftest": (_OK_OR_FAILED | {Exit.UNSUPPORTED: 4}, 1),
    # include/tst_res_flags.h of LTP: TBROK is 2, TCONF is 32
    "ltp": (_OK_OR_FAILED | {Exit.USAGE: 2, Exit.UNSUPPORTED: 32, Exit.FAILED: 2}, 1),
    "bisect": (_OK_OR_FAILED, UNTESTABLE),
}
"""For each custom the codes of ours, and the code of any other below 128."""

ExitCodes = Annotated[
    Literal["default", "kselftest", "ltp"],
    value(
        "WHOSE",
        "Exit as this harness reads it: kselftest 0 pass, 1 fail or usage, 4 this machine cannot; "
        "ltp 0 pass, 1 fail, 2 broken or usage, 32 this machine cannot; default as below.",
        *(None, "--exit-codes"),
    ),
]


class CodedCommand(Command):
    """A command whose exit codes --exit-codes and --bisect change, those of wrong options too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name."""
        whose = _asked(args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            error.exit_code = translated(whose, error.exit_code)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        whose = "bisect" if ctx.params.get("bisect") else ctx.params["exit_codes"]
        try:
            return super().invoke(ctx)
        except typer.Exit as ended:
            ended.exit_code = translated(whose, ended.exit_code)
            raise


def _asked(args: Sequence[str]) -> str:
    """Return whose codes are asked for by words that may be wrong otherwise."""
    if "--bisect" in args:
        return "bisect"
    words = [word for arg in args for word in arg.split("=", 1)]
    after = [name for word, name in itertools.pairwise(words) if word == "--exit-codes"]
    return after[-1] if after else "default"


def translated(whose: str, code: int) -> int:
    """Return the exit code that a harness reads; those from 128 on (signals) stay."""
    if whose not in _CODES or code >= 128:
        return code
    codes, other = _CODES[whose]
    return codes.get(code, other)

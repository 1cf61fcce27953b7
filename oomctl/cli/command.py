"""What makes a function a command: its options are a dataclass, and its help has one form."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, cleandoc, signature
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from oomctl import console
from oomctl.cli.guard import guarded
from oomctl.cli.options import Verbose

CODES = (
    "2 wrong usage, or a fault in a file; 3 this machine or kernel cannot, `oomctl doctor` says "
    "why; 4 oomctl failed, or could not clean up; 130 Ctrl-C, after cleaning up."
)
"""The exit codes that every command has; its own stand before them."""
CACHE, RUN_DIR = "OOMCTL_CACHE", "OOMCTL_RUN_DIR"
ENVIRONMENT = {
    CACHE: "Folder for kernels, built modules and probe results. "
    "[default: $XDG_CACHE_HOME/oomctl, else ~/.cache/oomctl]",
    RUN_DIR: "Folder for the journals that `oomctl clean` works through. [default: /run/oomctl]",
}
T = TypeVar("T")
COMMAND = "COMMAND..."
"""The words of a command for the guest, which may be empty."""
_EXAMPLES = "\n\nExamples:\n"
_ROOMY = 78
"""From this width on, a column of 30 for the options leaves enough for the texts beside it."""


class Help:
    """The help of commands and groups: text, examples, options, environment, exit codes."""

    help: str | None
    epilog: str | None = None
    environment: Sequence[str] = ()

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first sentence, whole: typer would cut it at the limit."""
        return cleandoc(self.help or "").partition("\n\n")[0].replace("\n", " ")

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the text, wrapped, and the examples, which a shell can read at any width."""
        text, _, examples = cleandoc(self.help or "").partition(_EXAMPLES)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)
        if examples:
            with formatter.section("Examples"):
                for example in examples.splitlines():
                    for line in _fitted(example.strip(), formatter.width - 2):
                        formatter.write(f"  {line}\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options by the names that their helps use, without types."""
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            if record := param.get_help_record(ctx):
                is_argument = param.param_type_name == "argument"
                name = param.metavar.strip("[]") if is_argument else record[0]
                rows[param.param_type_name].append((name, record[1].replace("  [", " [")))
        _section(formatter, "Arguments", rows["argument"])
        _section(formatter, "Options", rows["option"])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the environment variables, and last the exit codes."""
        _section(formatter, "Environment", [(name, ENVIRONMENT[name]) for name in self.environment])
        formatter.write_paragraph()
        formatter.write_text(self.epilog)


class Command(Help, TyperCommand):
    """A command without subcommands."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the name in the usage line."""
        arguments = (p.metavar for p in self.params if p.param_type_name == "argument")
        return ["[OPTIONS]", *(name for name in arguments if name)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; an empty one is refused, since Path("") is the current folder."""
        if not ctx.resilient_parsing:
            given = self.make_parser(ctx).parse_args(args=[*args])[0]
            param: Any
            for param in self.get_params(ctx):
                value = given.get(param.name)
                words = value if isinstance(value, (list, tuple)) else [value]
                if "" in words and param.metavar != COMMAND:
                    raise typer.BadParameter("it is empty", ctx, param)
        return super().parse_args(ctx, args)


class Group(Help, TyperGroup):
    """A command with subcommands."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the subcommands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def command(
    ok: str,
    failed: str = "",
    *,
    more: str = "",
    environment: Sequence[str] = (),
    cls: type[Command] = Command,
    **settings: Any,
) -> Callable[[Callable[..., None]], Command]:
    """Return a decorator that makes a command of a function.

    `ok`, `failed` and `more` say what the exit codes 0, 1 and others mean. The function takes
    nothing, or one dataclass whose fields are options and arguments, checked as it is made.
    """
    own = [f"0 {ok}", f"1 {failed}" if failed else "", more]

    def make(function: Callable[..., None]) -> Command:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cls=cls, epilog=exit_codes(*own), **settings)(guarded(_with_options(function)))
        made = get_command(app)
        assert isinstance(made, Command)  # noqa: S101
        made.environment = environment
        return made

    return make


def options_of(options: type[T], name: str, words: Sequence[str]) -> T:
    """Return the options that a command's words make, checked as the command does it."""

    def collect(given: T) -> T:
        return given

    collect.__annotations__ = {"given": options}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=Command, add_help_option=False)(_with_options(collect))
    made: T = get_command(app).main([*words], f"oomctl {name}", standalone_mode=False)
    return made


def exit_codes(*own: str) -> str:
    """Return the last paragraph of a help: a command's own exit codes, then those of all."""
    return f"Exit codes: {'; '.join([*filter(None, own), CODES])}"


def _with_options(function: Callable[..., T]) -> Callable[..., T]:
    """Return the function as typer needs it: a parameter for each field, and --verbose."""
    classes = [parameter.annotation for parameter in signature(function).parameters.values()]

    def run(verbose: bool, **values: Any) -> T:
        if verbose:
            console.set_verbosity(1)
        return function(*(one(**values) for one in classes))

    parameters = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=field.type,
        )
        for one in classes
        for field in fields(one)
    ]
    verbose = Parameter("verbose", Parameter.KEYWORD_ONLY, default=False, annotation=Verbose)
    run.__doc__ = function.__doc__
    run.__annotations__ = {}
    run.__signature__ = Signature([*parameters, verbose])  # type: ignore[attr-defined]
    return run


def _section(formatter: Any, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=30 if formatter.width >= _ROOMY else 16)


def _fitted(example: str, width: int) -> Iterator[str]:
    """Yield an example; one that is too wide has its comment above it and is continued by \\."""
    if len(example) <= width:
        yield example
        return
    words, _, comment = (part.strip() for part in example.partition("  #"))
    if comment:
        yield f"# {comment}"
    line = ""
    for word in re.findall(r"(?:'[^']*'|\S)+", words):
        if line and len(f"{line} {word} \\") > width:
            yield f"{line} \\"
            line = "   "
        line = f"{line} {word}" if line else word
    yield line

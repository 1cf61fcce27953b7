"""The command line in this very process, and what a refusal must look like."""

from typer.testing import CliRunner

from oomctl.cli import app


def run(*arguments, **more):
    return CliRunner().invoke(app, [*map(str, arguments)], **more)


def declare(*arguments, **more):
    return run("declare", *arguments, **more)


def refused(result, code, *says):
    """One line on stderr that says it, nothing on stdout, no traceback."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("oomctl: ")
    for each in says:
        assert each in line, line

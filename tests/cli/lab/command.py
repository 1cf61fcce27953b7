"""`oomctl lab` as the tests call it."""

from typer.testing import CliRunner

from oomctl.cli import app


def invoke(*words):
    return CliRunner().invoke(app, ["lab", *words])

"""A scenario, and `oomctl run` of it."""

from pathlib import Path
from types import SimpleNamespace

from oomctl.hog.hogset import NotFilledError
from tests.cli.command import run as oomctl
from tests.rounds import called, happened

LARGEST = """
description = "The largest of three dies."

[hog.small]
size = "16M"
[hog.medium]
size = "32M"
[hog.large]
size = "64M"

[[call]]
[expect]
victims = ["large"]
returns = { 1 = 1 }
"""
GOOD = happened(called(1))


def run(*arguments, **more):
    return oomctl("run", *arguments, **more)


def records():
    return sorted(Path().glob("*.jsonl"))


def not_filled():
    running_hog = SimpleNamespace(__str__=lambda self: "'large'", hog=None)
    return NotFilledError(running_hog, "cannot fill", "free some memory")


def several():
    Path("b.toml").write_text(LARGEST.replace('["large"]', '["small"]'))
    return "largest.toml", "b.toml"

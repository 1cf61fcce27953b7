"""The man page is that of today's help texts."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl.cli.command import ENVIRONMENT

DOCS = Path(__file__).parents[1] / "docs"


def test_the_man_page_has_no_types_and_every_variable():
    page = (DOCS / "oomctl.1").read_text()
    assert not re.search(r"<|&lt;|list\[", page.replace("cgroup.kill", ""))
    section = page.partition("ENVIRONMENT\n")[2].partition(".SH")[0]
    assert re.findall(r"^\\f\[B\](\w+)", section, re.M) == [*ENVIRONMENT]


@pytest.mark.skipif(shutil.which("cmark") is None, reason="cmark is not installed")
def test_the_man_page_is_fresh():
    words = [sys.executable, DOCS / "man.py"]
    made = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert made.splitlines() == (DOCS / "oomctl.1").read_text().splitlines(), "run `make man`"

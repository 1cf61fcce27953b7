"""The man page is that of today's help texts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.skipif(shutil.which("cmark") is None, reason="cmark is not installed")
def test_the_man_page_is_fresh():
    words = [sys.executable, DOCS / "man.py"]
    made = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert made.splitlines() == (DOCS / "oomctl.1").read_text().splitlines(), "run `make man`"

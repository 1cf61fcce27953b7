"""Does the kernel tree's own parser read our KTAP, and count as we do? `make kunit` asks it.

kunit.py comes out of Debian's linux-source package (140 MB), unpacked into a temporary folder.
"""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import GOLDEN
from tests.lab import linux_source
from tests.unit.smoke.fake_suite import CASES, report, told

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("OOMCTL_KUNIT") != "1", reason="fetches the kernel's source: `make kunit`"
    ),
    pytest.mark.timeout(900),
]

TOTALS = re.compile(r"Testing complete\. Ran (\d+) tests: (.*)")


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    """Give a text to `kunit.py parse`; return its exit status and what it counted."""
    folder = tmp_path_factory.mktemp("kunit")
    linux_source.unpack(linux_source.default_package(), folder, "*/tools/testing/kunit/*")

    def run(text):
        done = subprocess.run(
            [sys.executable, "tools/testing/kunit/kunit.py", "parse"],
            input=text,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        found = TOTALS.search(said)
        assert found, said + done.stderr
        assert "[ERROR]" not in said, said
        counts = dict(word.split(": ") for word in found[2].split(", "))
        return done.returncode, int(found[1]), {word: int(n) for word, n in counts.items()}

    return run


def leaves(text):
    """Count the results that have no subtests of their own: those are the indented ones."""
    lines = re.findall(r"^  (not ok|ok) \d+ [^#\n]*(# SKIP)?", text, re.M)
    words = ["failed" if n == "not ok" else "skipped" if skip else "passed" for n, skip in lines]
    return len(words), {word: words.count(word) for word in dict.fromkeys(words)}


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("cases", [CASES, CASES[:2], CASES[2:3], CASES[-1:]])
def test_it_counts_the_cases_of_the_suite(parse, cases, verbose):
    text = "".join(told("ktap", report(cases), verbose))
    _status, ran, counts = parse(text)
    assert (ran, counts) == leaves(text)
    assert ran == len(cases)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ktap")), ids=lambda path: path.stem)
def test_it_counts_the_expectations_of_other_reports(parse, path):
    text = path.read_text()
    _status, ran, counts = parse(text)
    assert (ran, counts) == leaves(text)


def test_it_reads_what_a_run_wrote(parse):
    """`OOMCTL_KTAP=FILE`: the result of `oomctl smoke` or `oomctl lab smoke`."""
    path = os.environ.get("OOMCTL_KTAP")
    if not path:
        pytest.skip("no OOMCTL_KTAP=FILE")
    with open(path) as file:
        text = file.read()
    _status, ran, counts = parse(text)
    assert (ran, counts) == leaves(text)

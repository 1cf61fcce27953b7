"""Each form of a harness is read by that harness's own reader, with the counts of the result."""

import asyncio
import csv
import importlib
import io
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from oomctl.oom.enums import CaseStatus
from oomctl.report import RENDERERS, RUN_RENDERERS
from oomctl.report.casetable import CaseGroup, CaseRow, CaseTable, render
from oomctl.report.testcases import expectations
from tests.outcomes import OUTCOMES
from tests.rounds import RECORDS, section
from tests.unit.smoke.fake_suite import report, told

PASS, FAIL, SKIP = "pass", "fail", "skip"
OF = {True: PASS, False: FAIL, None: SKIP}


def counts_of_record(name):
    """The counts as the statistics of the run have them."""
    tree = json.loads(RUN_RENDERERS["json"]([section(RECORDS[name])]))
    found = Counter()
    for one in tree["runs"][0]["statistics"]:
        found[PASS if one["ran"] == one["rounds"] else FAIL] += 1
        for each in one["expectations"]:
            found[FAIL if each["failed"] else PASS if each["held"] else SKIP] += 1
    return found


RESULTS = {
    "smoke": (lambda form: "".join(told(form, report())), {PASS: 3, FAIL: 1, SKIP: 2}),
    **{
        f"declare {name}": (
            lambda form, name=name: RENDERERS[form](OUTCOMES[name]),
            Counter(OF[t.passed] for call in OUTCOMES[name].calls for t in expectations(call)),
        )
        for name in OUTCOMES
    },
    **{
        f"run {name}": (
            lambda form, name=name: RUN_RENDERERS[form]([section(RECORDS[name])]),
            counts_of_record(name),
        )
        for name in RECORDS
    },
}
HOSTILE = "x\n</a>ok 1 - \x1b[31m # SKIP > RESULT=pass \udcff, \"'; é"
SEVERAL = CaseTable(
    "run",
    (
        CaseGroup(
            HOSTILE,
            2,
            tuple(
                CaseRow(HOSTILE, HOSTILE, status, HOSTILE, (HOSTILE,), 10**9, 1e-9, "ms")
                for status in (CaseStatus.FAIL, CaseStatus.SKIP)
            ),
            HOSTILE,
            HOSTILE,
            properties=((HOSTILE, HOSTILE),),
            log=(HOSTILE * 9000,),
        ),
        CaseGroup("é", 1, (CaseRow("é", "", CaseStatus.PASS),), "", ""),
    ),
    (HOSTILE,),
)
RESULTS["hostile"] = (lambda form: render(form, SEVERAL), {PASS: 1, FAIL: 1, SKIP: 1})


def tool(name):
    """Import a harness's own code; `make` installs it with the extra `dev`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def kcidb(text):
    schema = tool("kcidb_io").schema.V5_3
    tree = schema.validate(json.loads(text))
    ids = [test["id"] for test in tree["tests"]]
    assert len(set(ids)) == len(ids)
    return Counter(test["status"].lower() for test in tree["tests"])


def tmt(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        utils, result, fmf = tool("tmt.utils"), tool("tmt.result"), tool("fmf.utils")
        items = utils.yaml_to_list(text)
        schema = utils.load_schema(utils.Path("results.yaml"))
        judged = fmf.validate_data(items, schema, schema_store=utils.load_schema_store())
        assert not judged.errors
        whole, *groups = [result.Result.from_serialized(item) for item in items]
    cases = [case.result.value for group in groups for case in group.subresult]
    for some, of in ((whole, groups), *((group, group.subresult) for group in groups)):
        below = {one.result.value for one in of}
        assert some.result.value == next((s for s in (FAIL, PASS) if s in below), SKIP)
    return Counter(cases)


def avocado(text):
    parser = tool("avocado.core.tapparser").TapParser
    events = list(parser(io.StringIO(text)).parse())
    assert not [event for event in events if isinstance(event, parser.Error)]
    return Counter(e.result.value.lower() for e in events if isinstance(e, parser.Test))


def perl(text):
    code = (
        "my $p = TAP::Parser->new({tap => join '', <STDIN>}); $p->run; "
        "die join ' ', $p->parse_errors if $p->parse_errors; "
        "print $p->passed - $p->skipped, ' ', 0 + $p->failed, ' ', 0 + $p->skipped"
    )
    done = subprocess.run(
        ["perl", "-CS", "-MTAP::Parser", "-e", code], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Counter(dict(zip((PASS, FAIL, SKIP), map(int, done.stdout.split()), strict=True)))


def kirk(text):
    ltp, data = tool("libkirk.ltp"), tool("libkirk.data")
    test = data.Test(name="oomctl", cmd="oomctl", args=[])
    read = asyncio.run(ltp.LTPFramework().read_result(test, text, 1, 1.0))
    assert (read.broken, read.warnings) == (0, 0)
    return Counter({PASS: read.passed, FAIL: read.failed, SKIP: read.skipped})


def rows(text):
    read = list(csv.DictReader(io.StringIO(text)))
    assert len({row["path"] for row in read}) == len(read) == len(text.splitlines()) - 1
    return Counter(row["status"] for row in read)


READERS = {
    "kcidb-io": ("kcidb", kcidb),
    "tmt": ("tmt", tmt),
    "avocado": ("tap", avocado),
    "perl's TAP::Parser": ("tap", perl),
    "kirk": ("ltp", kirk),
    "csv": ("csv", rows),
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("reader", READERS)
def test_it_is_read(reader, name):
    form, read = READERS[reader]
    write, expected = RESULTS[name]
    assert read(write(form)) == Counter(expected)


LAVA = """
import json, re, sys
from lava_dispatcher.actions.test.shell import handle_testcase
from lava_dispatcher.connection import SignalMatch
def read(text):
    for kind, rest in re.findall(r"<LAVA_SIGNAL_(\\S+) ([^>]+)>", text):
        words = rest.split()
        yield kind, SignalMatch().match(handle_testcase(words)) if kind == "TESTCASE" else words
print(json.dumps({name: list(read(text)) for name, text in json.load(sys.stdin).items()}))
"""


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    """What LAVA's dispatcher reads of each result: of its signals, and of its lines."""
    folder = os.environ.get("OOMCTL_LAVA")
    if not folder:
        pytest.skip("Debian's lava-dispatcher is not unpacked; `make test-unit` does it")
    texts = {name: write("lava") for name, (write, _) in RESULTS.items()}
    for name, (write, _) in RESULTS.items():
        place = tmp_path_factory.mktemp("lava")
        texts[f"lines of {name}"] = through_helpers(write("lava-lines"), folder, place)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAVA],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": folder},
        check=True,
    )
    return json.loads(done.stdout)


def through_helpers(text, folder, place):
    """Carry out the lines by LAVA's helpers, as send-to-lava.sh does; return what they print."""
    helpers = Path(folder) / "lava_dispatcher/lava_test_shell"
    script = []
    for line in text.splitlines():
        match line.split():
            case ["lava-test-set", *words]:
                script.append(f"sh {helpers}/lava-test-set {' '.join(words)}")
            case [name, result, *measured]:
                options = zip(("--measurement", "--units"), measured, strict=False)
                more = " ".join(f"{option} {value}" for option, value in options)
                script.append(f"sh {helpers}/lava-test-case {name} --result {result} {more}")
    environment = os.environ | {
        "LAVA_RESULT_DIR": str(place),
        "PATH": f"{helpers}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh"], input="\n".join(script), capture_output=True, text=True, env=environment
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("name", RESULTS)
def test_lava_reads_the_signals_and_the_lines(signals, name):
    found = signals[name]
    cases = [case for kind, case in found if kind == "TESTCASE"]
    assert Counter(case["result"] for case in cases) == Counter(RESULTS[name][1])
    assert all(isinstance(case.get("measurement", 0.0), float) for case in cases)
    sets = [words for kind, words in found if kind == "TESTSET"]
    assert [words[0] for words in sets] == ["START", "STOP"] * (len(sets) // 2)
    assert signals[f"lines of {name}"] == found


@pytest.mark.parametrize("name", RESULTS)
def test_the_lines_are_those_of_test_definitions(name):
    write, expected = RESULTS[name]
    words = [line.split() for line in write("lava-lines").splitlines()]
    cases = [each for each in words if each[0] != "lava-test-set"]
    assert Counter(each[1] for each in cases) == Counter(expected)
    assert all(len(each) in (2, 4) for each in cases)
    assert all(float(each[2]) >= 0 for each in cases if len(each) == 4)


NEW = ("tap", "lava", "lava-lines", "kcidb", "tmt", "ltp", "csv")


@pytest.mark.parametrize("form", NEW)
@pytest.mark.parametrize("name", ["smoke", "declare default", "declare refused", "run alone"])
def test_golden(golden, name, form):
    golden(f"{name.replace(' ', '-')}.{form}", RESULTS[name][0](form))


@pytest.mark.parametrize("form", NEW)
def test_nothing_reaches_a_terminal_raw(form):
    text = render(form, SEVERAL)
    assert all(line.isprintable() for line in text.split("\n"))


def test_rows_are_told_while_the_suite_runs():
    for form in ("tap", "lava", "lava-lines", "ltp", "csv"):
        pieces = told(form, report())
        assert len(pieces) >= 6, form

"""Scenario files: any input becomes a plan or one ScenarioError, and the JSON schema agrees."""

import json
import re
import subprocess
import sys
import tomllib

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl import scenario
from oomctl.oom.enums import Moment, VerdictName
from oomctl.scenario import model
from oomctl.scenario.fault import Origin, ScenarioError, dotted, instead, shown
from oomctl.scenario.loader import checked
from oomctl.scenario.planning import plan
from oomctl.text import cut
from tests.scenario_documents import BASES, ONLY_CHECK, SCHEMA, disagreement, faults, places
from tests.scenario_texts import anything, scalars, trees, valid_tables
from tests.scenarios import SITE, Files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("scenarios"))


@pytest.fixture(scope="module")
def validator():
    made = scenario.schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def refused_well(error):
    """Every line is one line that a terminal can show, in our words."""
    assert error.lines
    for line in error.lines:
        assert line.isprintable()
        assert not any(word in line for word in ("Value error", "http", "type=", "[key]", "input"))
    assert str(error) == "\n".join(error.lines)


def test_a_scenario_has_a_name_a_description_and_its_text(files):
    text = 'description = "What it shows."\n'
    made = files.load(text)
    assert (made.name, made.description, made.source) == ("x", "What it shows.", text)


def test_several_files_are_loaded_in_order(files):
    paths = [files.write("timeout = 1", f"{name}.toml") for name in "ba"]
    assert [each.name for each in scenario.load_all(paths)] == ["b", "a"]


def test_importing_is_cheap():
    code = "import sys, oomctl.scenario; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.text() | st.text(alphabet="[]{}=.\"'hogcalsize 13M\n#\\", max_size=60))
def test_any_text_is_a_plan_or_refused(folder, text):
    path = folder.folder / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        plan(scenario.load(path), SITE)
    except ScenarioError as error:
        refused_well(error)


@given(trees)
def test_any_tree_is_a_plan_or_refused(raw):
    try:
        plan(checked(raw, "x", "", Origin("x.toml")), SITE)
    except ScenarioError as error:
        refused_well(error)


@given(st.data())
def test_any_mutation_of_a_valid_file_is_a_plan_or_refused(data):
    raw = data.draw(valid_tables())
    for _ in range(data.draw(st.integers(1, 3))):
        _mutate(raw, data)
    try:
        plan(checked(raw, "x", "", Origin("x.toml")), SITE)
    except ScenarioError as error:
        refused_well(error)


def _mutate(raw, data):
    """Replace, add or remove something anywhere."""
    at, key = raw, None
    while isinstance(at, (dict, list)) and at:
        above = at
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        at = at[key]
        if data.draw(st.booleans()):
            break
    if key is None:
        return
    match data.draw(st.sampled_from(["scalar", "anything", "remove", "rename", "nearby"])):
        case "scalar":
            above[key] = data.draw(scalars)
        case "anything":
            above[key] = data.draw(anything)
        case "remove":
            del above[key]
        case "rename" if isinstance(above, dict):
            above[data.draw(st.text(max_size=20))] = above.pop(key)
        case _:
            known = ["kind", "tasks", "size", "wait", "flags", "recheck", "amount", "target", "via"]
            nearby = data.draw(st.sampled_from(known))
            value = data.draw(st.sampled_from([1, "8M", "50%", True, "limit", "shared", "."]))
            if isinstance(above, dict):
                above[nearby] = value


KEYS = ("hog.a.size", "call[0].wait", "call.*.via", "cgroup...memory.max", "hog.*", "x", "expect")


@given(
    st.lists(st.text() | st.builds("{}={}".format, st.sampled_from(KEYS), st.text()), max_size=3)
)
def test_any_override_is_a_plan_or_refused(folder, changes):
    path = folder.write('[hog.a]\nsize = "1M"', "good.toml")
    try:
        plan(scenario.load(path, changes), SITE)
    except ScenarioError as error:
        refused_well(error)


@given(valid_tables())
def test_a_valid_scenario_passes_the_schema(validator, raw):
    validator.validate(raw)


@pytest.mark.parametrize(
    "text",
    [
        "tiemout = 3",
        "timeout = 'x'",
        "[hog.a]",
        "[hog.a]\nsize = '64Q'",
        "[hog.a]\nsize = 1\nkind = 'anom'",
        "[hog.'a b']\nsize = 1",
        "[hog.a]\nsize = 1\ncount = 5000",
        "[cgroup.'a/../b']",
        "[cgroup.a]\nmemory.maxx = 1",
        "[cgroup.a]\nmemory.max = 'maximum'",
        "[call]",
        "[[call]]\nwait = 1",
        "[[call]]\nrecheck = 'x'",
        "[[call]]\nrecheck = {}",
        "[[call]]\nexpect.returns = 'busy'",
        "[expect]\nverdict = 'kiled'",
        "[expect]\nevents.oom_kil = 1",
        "[expect]\nkills = '..'",
        "",
        "timeout = 0.05",
        "timeout = '99ms'",
        "timeout = '0.0016m'",
        "timeout = '25h'",
        "timeout = 86401",
        "parent = '/a/../b'",
        "parent = '/sys/fs/cgroup/a'",
        "sysctl.swappiness = 1",
        "sysctl.vm.swappiness = true",
        "sysctl.vm.swappiness = ''",
        'sysctl.vm.swappiness = "1\\n2"',
        "sysctl.vm.Swap = 1",
        "sysctl.vm.x = 18446744073709551616",
        "[hog.a]\nsize = 9223372036854775808",
        "[hog.a]\nsize = '9223372036854775808'",
        "[hog.a]\nsize = '8E'",
        "[hog.a]\nsize = '0x1EiB'",
        "[hog.a]\nsize = '010'",
        "[hog.a]\nsize = 1\nrate = 0",
        "[hog.a]\nsize = 1\nrate = '0x0K'",
        "[hog.a]\nsize = 1\nworking_set = '101%'",
        "[hog.a]\nsize = 1\nkind = 'file'\npath = '/../x'",
        "[hog.a]\nsize = 1\nkind = 'file'\npath = 'x'",
        "[hog.a]\nsize = 1\nkind = 'shared'",
        "[hog.a]\nsize = 1\ntasks = 2",
        "[hog.a]\nsize = 1\nhold = 0",
        "[hog.a]\nsize = 1\nkind = 'pipe'\nthp = true",
        "[cgroup.'a//b']",
        "[cgroup.'a/']",
        "[cgroup.'/a']",
        "[cgroup.'memory.x']",
        "[cgroup.'a/cgroup.x']",
        f"[cgroup.'{'n' * 256}']",
        f"[cgroup.'{'a/' * 32}a']",
        "[[call]]\ntarget = '//'",
        "[[call]]\ntarget = '/a/./b'",
        "[[call]]\nglobal = true\ntarget = '.'",
        "[[call]]\nwait = true\nflags = 0",
        "[[call]]\nvia = 'kill'\norder = 0",
        "[[call]]\nvia = 'sysrq'",
        "[[call]]\namount = 1",
        "[[call]]\nrecheck = 1\nwait = true",
        "[[call]]\nrecheck = 1\nflags = 0",
        "[[call]]\nexpect.returns = 'EFOO'",
        "[[call]]\nexpect.returns = '2147483648'",
        "[[call]]\nexpect.returns = -2147483649",
        "[[call]]\nexpect.returns = 'EBUSY\\n'".replace("'", '"'),
        "[expect]\nreturns.EFOO = 1",
        "[expect]\nkills = 1000000000000000000",
        "call = []\n[expect]\nreturns.1 = 1",
        "call = []\n[expect]\nverdict = 'busy'",
        "[expect.cgroup.'.']\nevents_local.oom_kil = 1",
        "[expect.cgroup.'.']\nmemory.events.oom_kill = 1",
    ],
)
def test_the_schema_refuses_what_we_refuse(validator, files, text):
    files.faults(text)
    assert list(validator.iter_errors(tomllib.loads(text)))


@pytest.mark.parametrize(
    "text",
    [
        "[[call]]\nrecheck = '50%'",
        "[[call]]\nrecheck = { above = 4096, every = '1ms' }",
        "[[call]]\nglobal = true\nexpect = { returns = [1, 'EBUSY'], verdict = 'killed' }",
        "[hog.a]\nsize = '0x10M'\n[expect]\nkills = '..2'\nreturns = { 1 = 1, EBUSY = '..0' }",
        "[[call]]\nexpect.returns = 'none'",
        "[[call]]\nexpect.returns = ['-524', 'ENOTSUPP', -512, -4000, '-007', 'EWOULDBLOCK']",
        "[expect]\nreturns = { none = 0, -524 = 0, -4000 = '..1' }",
        "[hog.a]\nsize = ' 64M'",
        '[hog.a]\nsize = "64k\\n"\nrate = "\\t0x00001K "',
        "[cgroup.a]\nmemory.max = '9223372036854775807'\nmemory.low = '8191P'",
        "[cgroup.a]\nmemory.high = '0x1fffffffffffffK'\nmemory.min = '12.5 %'",
        "timeout = '100000us'",
        "timeout = ' 0024 h '",
        "timeout = '0.0017m'",
        "sysctl.'vm.a'.b = 1\nsysctl.kernel.printk = '1 4 1 7'\nsysctl.'net.x' = -1",
        r"[cgroup.'dev-disk-by\x2did.swap/a b/é']",
        "[cgroup.memory]\n[cgroup.memoryx]\n[cgroup.'x.memory.y']",
        "[[call]]\ntarget = '/a b//c/'",
        "call = []",
        "call = []\n[expect]\nverdict = ['busy', 'none-died']\nreturns = {}",
        "[hog.a]\nsize = 1\nkind = 'pipe'\nthp = false",
        "[[call]]\nrecheck = 0\nwait = false",
        "[cgroup.web]\n[expect.cgroup.web]\nevents.oom_kill = 0\nevents_local = { max = '1..' }",
    ],
)
def test_the_schema_takes_what_we_take(validator, files, text):
    validator.validate(tomllib.loads(text))
    files.load(text)


@pytest.mark.parametrize("kind", ONLY_CHECK)
def test_some_faults_only_the_check_finds(validator, files, kind):
    text, fault = ONLY_CHECK[kind]
    validator.validate(tomllib.loads(text))
    assert [what for what in faults(tomllib.loads(text)) if not re.search(fault, what)] == []
    assert files.faults(text)


def test_documents_have_every_key():
    used = {key for base in BASES for path in places(base) for key in path}
    for table in (SCHEMA, *SCHEMA["$defs"].values()):
        assert set(table.get("properties", ())) <= used


@pytest.mark.parametrize("base", BASES)
def test_documents_begin_with_valid_ones(base):
    assert faults(base) == []
    assert disagreement(base) == ""


def test_the_schema_describes_every_key_and_knows_no_null():
    made = scenario.schema()
    tables = [made, *(each for each in made["$defs"].values() if "properties" in each)]
    for table in tables:
        assert table["additionalProperties"] is False
        for key, value in table["properties"].items():
            plain = key in ("memory", "pids", "swap", "zswap", "oom", "expect")
            assert plain or value.get("description"), key
    assert "null" not in json.dumps(made)


def test_verdicts_and_moments_are_those_of_the_model():
    expect = SCHEMA["$defs"]["Expect"]["properties"]
    assert expect["verdict"]["anyOf"][0]["enum"] == [*VerdictName]
    assert expect["latency"]["propertyNames"]["enum"] == [*Moment][1:]


def test_every_table_is_frozen_and_closed():
    for name in ("File", "Cgroup", "Hog", "Call", "Expect", "Recheck", "CallExpect", "Memory"):
        table = getattr(model, name)
        assert table.__dataclass_params__.frozen
        assert table.__pydantic_config__["extra"] == "forbid"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("call", 0, "wait"), "call[0].wait"),
        (("cgroup", "left/inner", "memory", "max"), 'cgroup."left/inner".memory.max'),
        (("cgroup", "."), 'cgroup."."'),
        (("a", 'b"\n'), 'a."b\\"\\n"'),
    ],
)
def test_paths_are_written_as_toml_has_them(path, text):
    assert dotted(path) == text


@given(anything)
def test_any_value_can_be_named_in_a_sentence(value):
    assert len(shown(value)) < 300
    assert "\n" not in shown(value)


def test_unknown_names_get_a_suggestion():
    assert instead("lrage", ["small", "large"]) == "did you mean 'large'?"
    assert instead("x", ["small", "large"]) == "known are small, large"
    assert instead("x", [], none="nothing") == "nothing"
    assert instead("x", [str(n) for n in range(30)]).endswith("18, 19, ...")
    assert cut("a" * 100) == "a" * 57 + "..."

"""Documents that the JSON schema and the check of scenarios are tried with, and compared by."""

import copy
import datetime
import re
import tomllib

import jsonschema
from hypothesis import strategies as st

from oomctl import scenario
from oomctl.scenario.fault import Origin, ScenarioError
from oomctl.scenario.loader import checked
from oomctl.scenario.planning import plan
from tests.hostile.pool import NAMES, NUMBERS, SIZES, TERMINAL, TIMES
from tests.scenarios import SITE

SCHEMA = scenario.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

HOG = '[hog.a]\nsize = "1M"\n'
ONLY_CHECK = {
    "a whole number written as 1.0: JSON has one kind of number": (
        "[hog.a]\nsize = 4096.0",
        r"-?[0-9]+(\.0|e\+[0-9]+) is not a (whole number|size|count|string|value)",
    ),
    "nan: JSON has none": ("timeout = nan", "nan is out of range"),
    "which of two numbers in a text is larger": (
        "expect.kills = '2..1'",
        r"'[0-9]+\.\.[0-9]+' is not a count",
    ),
    "two keys that mean the same": (
        "expect.returns = { EBUSY = 1, -16 = 1 }",
        "are the same$|is given twice|is the same as expect.events",
    ),
    "the length of a path as a whole, or of a name in bytes": (
        f'[cgroup."{"é" * 128}"]',
        "is too long for a |'[a-z0-9_.-]{57}...' is not a sysctl",
    ),
    "names of hogs and cgroups, and calls, that the file does not have": (
        f"{HOG}cgroup = 'left'",
        r"there is no (hog '|cgroup '|call\[)",
    ),
    "a hog that two steps start": (
        f"{HOG}[[step]]\nstart = ['a', 'a']",
        "is started twice",
    ),
    "the top among the cgroups that a step removes": (
        "[[step]]\nremove = '.'",
        "the top cannot be removed",
    ),
    "processes in leaves only, and a leaf for each hog": (
        f"{HOG}cgroup = '.'\n[hog.b]\nsize = 1",
        "has child cgroups|its own leaf would be|is the leaf of hog",
    ),
    "names of hogs that count makes": (
        "[hog.a]\nsize = 1\ncount = 2\n[hog.a-2]\nsize = 1",
        "two hogs are named|is longer than a comm",
    ),
    "the sum of all hogs": (
        "[hog.a]\nsize = 0\ncount = 4096\n[hog.b]\nsize = 0",
        "[0-9]+ hogs are too many",
    ),
    "sizes beside each other and the machine's": (
        "[cgroup.'.']\nmemory.max = 0\n[hog.a]\nsize = 1",
        "wants? [0-9]|are each too large|is more than memory.max|is more than the .* of the hog",
    ),
    "expectations that contradict each other": (
        f"{HOG}[expect]\nvictims = 'a'\nsurvivors = 'a'",
        "is one of expect.victims as well|that (have to|may) die|verdict cannot be|is (not )?one of"
        "|its victims are more|returns are expected of|contradicts call|no call may have",
    ),
}
"""Kinds of faults that only the check finds: the smallest file, and a pattern of its fault."""
_ONLY_CHECK = re.compile("|".join(f"(?:{fault})" for _text, fault in ONLY_CHECK.values()))

BASES = [
    """
    description = "All keys that go together."
    timeout = "1m"
    parent = "/a"
    sysctl.vm.swappiness = 0
    sysctl."kernel.printk" = "1 4 1 7"
    [cgroup."."]
    memory.max = "50%"
    memory.high = "max"
    memory.low = 0
    memory.min = "1K"
    memory.swap.max = 0
    memory.swap.high = 0
    memory.zswap.max = 0
    memory.oom.group = false
    pids.max = 0
    [cgroup."left/in"]
    [hog.a]
    size = "1M"
    count = 2
    oom_score_adj = -1000
    comm = "a name"
    cgroup = "left/"
    thp = false
    rate = "1M"
    working_set = "50%"
    may_fail = false
    [[call]]
    target = "left"
    order = -1
    wait = true
    via = "bpf"
    callers = 2
    repeat = 1
    delay = 0.5
    until = "freed"
    expect = { returns = [1, "EBUSY"], verdict = "killed", victims = "a" }
    [[call]]
    via = "psi"
    stall = "50ms"
    context = "task_work"
    [[call]]
    recheck = { above = "50%", every = "1ms" }
    [[call]]
    recheck = 0
    [[call]]
    global = true
    flags = 1
    [expect]
    verdict = ["killed"]
    victims = ["a"]
    survivors = []
    collateral = 1
    kills = "1.."
    returns = { 1 = "..2", EBUSY = 0 }
    events = { oom = "0..1" }
    latency.exited = "2s"
    [expect.cgroup."left"]
    events.oom_kill = 1
    events_local = { max = 0 }
    """,
    """
    [hog.t]
    size = 1
    kind = "threads"
    tasks = 4
    leader_exits = true
    [hog.s]
    size = 1
    kind = "shared"
    sharer = "side"
    [hog.h]
    size = 1
    kind = "traced"
    hold = 0
    [hog.f]
    size = 0
    kind = "file"
    path = "/x"
    [cgroup.side]
    [[call]]
    via = "limit"
    amount = "1M"
    target = "/else"
    """,
    """
    [hog.a]
    size = "1M"
    cgroup = "left"
    count = 2
    [hog.late]
    size = 0
    cgroup = "right"
    [cgroup.left]
    [cgroup.right]
    [[step]]
    after = "100ms"
    delay = 0.5
    cgroup.left = { memory = { max = "50%", oom = { group = true } } }
    sysctl.vm.swappiness = 0
    freeze = "left"
    thaw = ["left", "right"]
    start = "late"
    [[step]]
    after = "a-1.exited"
    sysfs = { "/sys/kernel/mm/lru_gen/enabled" = "0x0000" }
    move = { a = "right" }
    remove = ["left"]
    may_fail = true
    [[step]]
    after = "call[0].returned"
    stop = "a"
    continue = ["a-1"]
    kill = "late"
    """,
    """
    call = []
    [hog.a]
    size = "1M"
    may_fail = true
    [cgroup."."]
    memory.max = 4096
    [expect]
    verdict = "killed"
    kills = 1
    """,
]
BASES = [tomllib.loads(text) for text in BASES]


def faults(document):
    """Return the faults that the check finds in a document; none for one that is valid."""
    if not document:
        return ["is empty"]
    try:
        plan(checked(copy.deepcopy(document), "x", "", Origin("x.toml"), SITE.memory), SITE)
    except ScenarioError as error:
        return [fault.what for fault in error.faults]
    return []


def disagreement(document):
    """Say where schema and check differ on a document, but for what only the check sees."""
    complaint = jsonschema.exceptions.best_match(VALIDATOR.iter_errors(document))
    found = faults(document)
    if complaint and not found:
        where = "/".join(map(str, complaint.absolute_path))
        return f"only the schema refuses it: {where}: {complaint.message[:200]}"
    missed = [what for what in found if not _ONLY_CHECK.search(what)]
    return "" if complaint or not missed else f"only the check refuses it: {missed}"


_names = st.sampled_from(["a", "a-1", "a-2", "left", "left/", "./", ".", "left/in", "side"])


def _like(node):
    """Return what a node of the schema allows, as far as its type and its values go."""
    if "$ref" in node:
        return st.deferred(lambda: _like(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]))
    if "anyOf" in node:
        return st.one_of([_like(each) for each in node["anyOf"]])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    match node["type"]:
        case "string":
            return st.from_regex(node["pattern"]) if "pattern" in node else _names | st.text()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(node["minimum"], node["maximum"])
        case "number":
            return st.floats(node["minimum"], node["maximum"])
        case "array":
            return st.lists(_like(node["items"]), max_size=3)
    return _table(node)


@st.composite
def _table(draw, node):
    known = node.get("properties", {})
    keys = draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    made = {key: draw(_like(known[key])) for key in {*node.get("required", []), *keys}}
    others = list(node.get("patternProperties", {}).items())
    if "propertyNames" in node:
        others.append((node["propertyNames"], node["additionalProperties"]))
    for key, value in others if draw(st.booleans()) else ():
        name = draw(st.from_regex(key) if isinstance(key, str) else _like(key) | _names)
        made[name] = draw(_like(value))
    return made


def places(at, path=()):
    """Yield the path of every value of a document, its own first."""
    yield path
    pairs = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def _literal(text):
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except (ValueError, RecursionError):
        return text


_TEXTS = [*NAMES, *(text for text in TERMINAL if not "\ud800" <= text <= "\udfff")]
_ERRNOS = ("EFOO", "EBUSY", "-EBUSY", "ENOTSUPP", "-524", "-4000", "none", "EBUSY\n", "ERESTARTSYS")
_PATHS = ("a//b", "a/", "/a", "memory.x", "a/cgroup.y", "memoryx", r"a\x2db.slice", "a b", "/a//b/")
_SPANS = ("2..1", "1..2", "..", "..2", "2..", "1...2", " 1..2", "9" * 19 + "..", "0..0")
_ODD = [
    *(each for text in (*NUMBERS, *SIZES, *TIMES) for each in (text, f" {text}", _literal(text))),
    *(*_TEXTS, *_ERRNOS, *_PATHS, *_SPANS, "64M\n", "\x1c64M", "64M\x85", "100000us"),
    *(2**63 - 1, 2**63, f"{2**53 - 1}K", f"{2**53}K", "0x7fffffffffffffff", "0x8000000000000000"),
    *("0xE", "0x1EiB", "0x1e", "64mib", "64kiB", "8191P", "8192P", "100%", "101%", "100.0%"),
    *(0.1, 0.05, "0.1", "0.09", "99ms", "100ms", "0.0017m", "0.0016m", "24h", "24.1h", 86_400.0),
    *(True, False, 0, 1, 1.0, [], {}, [[]], [{}], ["a"], ["a", 1], [1, -16, "none"], {"a": 1}),
    *(datetime.date(2026, 1, 27), datetime.time(1), datetime.datetime(2026, 1, 27), float("inf")),
    *({"none": 0}, {"EFOO": 1}, {"memory": {"max": 0}}, {"vm.a": {"b": 1}}, {"vm": {"a.b": "1"}}),
    *({"a": {}}, {"a": {"size": 0}}, [{"via": "kill", "order": 0}], {"events": {"oom": 0}}),
]


@st.composite
def _changed(draw):
    """A valid document of which a few values, or keys, are others."""
    made = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([each for each in places(made) if each]))
        at = made
        for part in path[:-1]:
            at = at[part]
        match draw(st.integers(0, 9)):
            case 0:
                del at[path[-1]]
            case 1 if isinstance(at, dict):
                at[draw(st.sampled_from([*_TEXTS, *_PATHS, *_ERRNOS]))] = at.pop(path[-1])
            case _:
                at[path[-1]] = draw(st.sampled_from(_ODD).map(copy.deepcopy))
    return made


documents = _changed() | _table(SCHEMA)
"""Documents as TOML has them, near to what is valid and near to what the schema allows."""

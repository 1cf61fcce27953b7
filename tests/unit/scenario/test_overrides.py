import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oomctl import scenario
from oomctl.oom.plan import EVENTS_LOCAL, Range
from oomctl.scenario import overrides
from oomctl.scenario.fault import ScenarioError
from tests.scenarios import M

FILE = """
    [cgroup."left/inner"]
    [hog.large]
    size = "32M"
    [hog.small]
    size = "8M"
    [[call]]
    [[call]]
    order = 1
"""


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("timeout=3", ("timeout",), 3),
        ("hog.large.size=64M", ("hog", "large", "size"), "64M"),
        ("hog.large.size='64M'", ("hog", "large", "size"), "64M"),
        ("call[0].wait=false", ("call", 0, "wait"), False),
        ("call.0.wait=false", ("call", "0", "wait"), False),
        ("call[*].via=bpf", ("call", "*", "via"), "bpf"),
        ("call.*.via=bpf", ("call", "*", "via"), "bpf"),
        ('cgroup."left/inner".memory.max=1', ("cgroup", "left/inner", "memory", "max"), 1),
        ("cgroup.'left/inner'.memory.max=1", ("cgroup", "left/inner", "memory", "max"), 1),
        ("cgroup.left/inner.memory.max=1", ("cgroup", "left/inner", "memory", "max"), 1),
        ('cgroup.".".memory.max=1', ("cgroup", ".", "memory", "max"), 1),
        ("cgroup...memory.max=1", ("cgroup", ".", "memory", "max"), 1),
        ("description=a=b", ("description",), "a=b"),
        ("description=", ("description",), ""),
        ("description= two words ", ("description",), "two words"),
        ('description="x"\ny = 1', ("description",), '"x"\ny = 1'),
        ('expect.victims=["a", "b"]', ("expect", "victims"), ["a", "b"]),
        ("x=08", ("x",), "08"),
        ("x=max", ("x",), "max"),
        ("x=1..2", ("x",), "1..2"),
        ("x=0x10", ("x",), 16),
        ('x={size = "1M"}', ("x",), {"size": "1M"}),
        (f"x={'[' * 5000}", ("x",), "[" * 5000),
        (f"x={'9' * 5000}", ("x",), "9" * 5000),
    ],
)
def test_an_override_is_a_key_and_a_toml_value(text, path, value):
    assert overrides.parse(text) == overrides.Override(path, value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "=", "=1", "a", "a.b", ".a=1", "a.=1", "a[=1", "a[]=1", "a[x]=1", "a[-1]=1", '"a=1'),
        *("a]=1", "'a", 'a"b"=1', f"{'a.' * 5000}a=1", "a[0]b=1", "[0]=1"),
    ],
)
def test_an_invalid_override_is_one_line(text):
    with pytest.raises(ScenarioError) as caught:
        overrides.parse(text)
    (line,) = caught.value.lines
    assert line.startswith("--set: ")
    assert line.endswith("is not KEY=VALUE; write such as hog.large.size=64M")
    assert len(line) < 140


@pytest.mark.parametrize("text", ["\udcff=1", "hog.a.\udcff=1", "hog.a.comm=\udcff"])
def test_an_override_is_text_as_toml_is(files, text):
    for option, split in (("--set", overrides.parse), ("--vary", overrides.vary)):
        with pytest.raises(ScenarioError) as caught:
            split(text)
        (line,) = caught.value.lines
        shown = text.replace("\udcff", r"\xff")
        assert line == f"{option}: '{shown}' is not UTF-8 text; TOML is text"
    assert files.faults("[hog.a]\nsize = 1", text) == [
        f"--set: '{shown}' is not UTF-8 text; TOML is text"
    ]


def test_overrides_change_values(files):
    made = files.plan(
        FILE,
        "hog.large.size=64M",
        "hog.*.kind=shmem",
        "call[0].wait=false",
        "call.1.order=7",
        "call[2].order=9",
        "cgroup.left/inner.memory.max=1G",
        "cgroup...memory.max=2G",
        "cgroup.left.memory.high=1",
        "timeout=7",
        "expect.kills=1..2",
        'hog.new={size = "1M"}',
    )
    assert [(hog.name, hog.size, hog.kind) for hog in made.hogs] == [
        ("large", 64 * M, "shmem"),
        ("small", 8 * M, "shmem"),
        ("new", M, "anon"),
    ]
    assert [(step.call.flags, step.call.order) for step in made.steps] == [(0, 0), (1, 7), (1, 9)]
    limits = {s.cgroup: s.value for s in made.settings if s.file == "memory.max"}
    assert limits == {"/t": str(2048 * M), "/t/left/inner": str(1024 * M)}
    assert made.timeout == 7


def test_overrides_of_the_implied_call(files):
    hog = "[hog.a]\nsize = 1"
    assert files.plan(hog, "call.*.via=kill").steps[0].call.via == "kill"
    assert files.plan(hog, "call[0].order=3").steps[0].call.order == 3
    assert len(files.plan(hog, "call[0].order=3", "call[1].order=4").steps) == 2
    assert files.plan(hog, "call[0]={order = 3}").steps[0].call.order == 3


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("hog.large.size=64Q", "--set hog.large.size: '64Q' is not a size; write bytes, or K, M, G "
         "as powers of 1024 (such as 64M)"),
        ("hog.large.sise=1", "--set hog.large.sise: no such key; did you mean 'size'?"),
        ("hog.lrage.size=1", "--set hog.lrage: there is no hog 'lrage' to change; did you mean "
         "'large'?"),
        ("cgroup.lft.memory.max=1", "--set cgroup.lft: there is no cgroup 'lft' to change; known "
         "are ., left/inner"),
        ("tiemout=1", "--set tiemout: no such key; did you mean 'timeout'?"),
        ("call[3].order=1", "--set call[3]: does not exist; the file has 2, call[0] to call[1]; "
         "call[2] would be a new one"),
        ("call[x].order=1", "--set: 'call[x].order=1' is not KEY=VALUE; write such as "
         "hog.large.size=64M"),
        ("call.x.order=1", "--set call.x: is not a position; write call[0], or call[*] for all"),
        ("timeout.a=1", "--set timeout: is not a table; leave out the part of the key after it"),
        (
            "call[1].order.x=1",
            "--set call[1].order: is not a table; leave out the part of the key after it",
        ),
        ("hog.*.sise=1", "--set hog.large.sise: no such key; did you mean 'size'?"),
        ("call[0].target=lft", "--set call[0].target: there is no cgroup 'lft' in this scenario; "
         "did you mean 'left'?"),
        ("hog.large=1", "--set hog.large: is not a table; write such as { size = ... }"),
        ('hog."\x1b[2J"={}', "--set hog.\"\\u001b[2J\": '\\x1b[2J' cannot name a hog; use 1 to 15 "
         "letters, digits, '_' or '-' (the kernel's comm holds 15)"),
    ],
)  # fmt: skip
def test_a_fault_of_an_override_names_it(files, override, line):
    text = FILE + "    [expect]\n" if "timeout" not in override else "timeout = 1" + FILE
    assert files.faults(text, override)[0] == line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("hog.b.size=1", "--set hog.b: there is no hog 'b' to change; known are a"),
        ("call[2].order=1", "--set call[2]: does not exist; the file has 1; call[1] would be a new "
         "one"),
        ("call.order=1", "--set call.order: is not a position; write call[0], or call[*] for all"),
        ("cgroup.*.memory.max=1", "--set cgroup: has no entry for * to change; name a new one "
         "instead"),
        ("nope.x=1", "--set nope: no such key; known are description, timeout, parent, sysctl, "
         "cgroup, hog, call, step, expect"),
    ],
)  # fmt: skip
def test_an_override_of_an_absent_key_has_one_fault(files, override, line):
    assert files.faults("[hog.a]\nsize = 1", override) == [line]


def test_overrides_of_no_call(files):
    assert files.plan("[hog.a]\nsize = 1", "call=[]").steps == ()
    (step,) = files.plan("call = []", "call[0].order=3").steps
    assert step.call.order == 3
    assert files.faults("call = []", "call[*].order=1") == [
        "--set call: has no entry for * to change; name a new one instead"
    ]


def test_overrides_of_expected_events(files):
    made = files.plan("[cgroup.web]", "expect.cgroup.web.events_local.oom=0..2")
    assert made.expect.events == {("/t/web", EVENTS_LOCAL): {"oom": Range(0, 2)}}


def test_a_fault_of_vary_says_so():
    with pytest.raises(ScenarioError) as caught:
        overrides.vary("nonsense")
    assert caught.value.lines == (
        "--vary: 'nonsense' is not KEY=A,B; write such as hog.large.size=64M,128M",
    )


def test_labels_tell_keys_apart():
    found = scenario.vary("hog.a.size=1,2", "hog.b.size=3", "call[0].wait=true")
    assert [[label for label, _override in each] for each in found] == [
        ["hog.a.size=1", "hog.a.size=2"],
        ["hog.b.size=3"],
        ["wait=true"],
    ]
    with pytest.raises(ScenarioError) as caught:
        scenario.vary("hog.a.size=1", "hog.a.size=2")
    assert caught.value.lines == ("--vary hog.a.size: is given twice; give all its values at once",)


def test_faults_of_overrides_come_with_those_of_the_file(files):
    lines = files.faults(FILE + "    sise = 3\n", "a", "hog.large.size=64Q", "hog.x.size=1")
    assert [line.split(": ")[0] for line in lines] == [
        "--set",
        "--set hog.x",
        "--set hog.large.size",
        "call[1].sise",
    ]


def test_a_fault_of_an_override_is_reported_once_for_many_files(files):
    paths = [files.write(FILE, "one.toml"), files.write(FILE, "two.toml")]
    with pytest.raises(ScenarioError) as caught:
        scenario.load_all(paths, ["hog.large.count=-1"])
    assert caught.value.lines == ("--set hog.large.count: -1 is out of range; from 0 to 4096",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b=1,2", [("b=1", "a.b=1"), ("b=2", "a.b=2")]),
        ("call[0].wait=true, false", [("wait=true", "call[0].wait=true"),
                                      ("wait=false", "call[0].wait=false")]),
        ("call[0]={a=1,b=2},{}", [("call[0]={a=1,b=2}", "call[0]={a=1,b=2}"),
                                   ("call[0]={}", "call[0]={}")]),
        ('a=[1,2],"x,y",\'z,\'', [("a=[1,2]", "a=[1,2]"), ('a="x,y"', 'a="x,y"'),
                                ("a='z,'", "a='z,'")]),
        ('"a=b".c=1,2', [("c=1", '"a=b".c=1'), ("c=2", '"a=b".c=2')]),
        ("a=1", [("a=1", "a=1")]),
    ],
)  # fmt: skip
def test_values_to_vary(text, found):
    assert scenario.vary(text) == [found]


def test_a_value_to_vary_is_given_once():
    with pytest.raises(ScenarioError) as caught:
        scenario.vary("hog.a.size=1M, 2M,1M")
    assert caught.value.lines == ("--vary hog.a.size: '1M' is given twice; give each value once",)


@given(st.text() | st.text(alphabet="abc.=[]\"'*0,{}/ ", max_size=20))
@example("a=")
@example("a..b=1")
@example("a....b=1")
def test_any_text_is_an_override_or_one_line(text):
    try:
        found = overrides.parse(text)
        (varied,) = scenario.vary(text)
    except ScenarioError as error:
        (line,) = error.lines
        assert line.isprintable()
    else:
        assert found.path
        for _label, each in varied:
            assert overrides.parse(each).path == found.path


@pytest.mark.parametrize("digits", ["9" * 5000, "٣", "0x1", "-1", "9999999"])
def test_a_position_has_few_digits(files, digits):
    (fault,) = files.faults("[hog.a]\nsize = 1\n[[call]]", f"call.{digits}.wait=true")
    assert "is not a position; write call[0], or call[*] for all" in fault

"""Files that are not TOML or cannot be read, and all faults of one or several at once."""

import pytest

from oomctl import scenario
from oomctl.scenario.fault import ScenarioError
from tests.unit.scenario.texts import CGROUP, COMM, HOG, LEAVES, SIZE

TOML = {
    "": "is empty; write at least a [hog.NAME] or a [[call]]",
    "# a comment\n": "is empty; write at least a [hog.NAME] or a [[call]]",
    "a": "not TOML: Expected '=' after a key in a key/value pair (at end of document)",
    "[hog.a]\nsize = 64M": "not TOML: Expected newline or end of document after a statement (at "
    "line 2, column 10); strings need quotes: size = '64M'",
    "[hog.a]\nsize = M": "not TOML: Invalid value (at line 2, column 8); strings need quotes: size "
    "= '64M'",
    "[hog.a]\n[hog.a]": "not TOML: Cannot declare ('hog', 'a') twice (at line 2, column 7)",
    f"a = {'[' * 2000}{']' * 2000}": "is nested too deeply; a scenario has five levels",
    f"timeout = {'9' * 5000}": "not TOML: Exceeds the limit (4300 digits) for integer string "
    "conversion: value has 5000 digits",
}


@pytest.mark.parametrize(("text", "line"), TOML.items())
def test_invalid_toml_is_one_line(files, text, line):
    assert files.faults(text) == [line]


def test_a_very_deep_table_is_an_unknown_key(files):
    assert files.faults(f"[{'a.' * 5000}a]") == [
        "a: no such key; known are description, timeout, parent, sysctl, cgroup, hog, call, step, "
        "expect"
    ]


def test_files_that_cannot_be_read(files, tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"a = '\xff'")
    paths = [tmp_path / "none.toml", tmp_path, binary, tmp_path / "nul\0"]
    with pytest.raises(ScenarioError) as caught:
        scenario.load_all(paths)
    assert caught.value.lines == (
        f"{tmp_path}/none.toml: cannot be read: No such file or directory; name a TOML file",
        f"{tmp_path}: cannot be read: Is a directory; name a TOML file",
        f"{tmp_path}/binary: is not UTF-8 text (byte 5); TOML is text",
        f"{tmp_path}/nul\\x00: cannot be read: embedded null byte; name a TOML file",
    )


def test_a_byte_order_mark_is_left_out(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfdescription = 'x'")
    assert scenario.load(path).description == "x"


def test_a_huge_file_is_not_read(files, tmp_path):
    path = tmp_path / "x.toml"
    with path.open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(ScenarioError, match="is too large for a scenario; 1M at most"):
        scenario.load(path)


def test_all_faults_of_a_file_come_at_once(files):
    assert files.faults("""
        tiemout = 3
        [cgroup."."]
        memory.max = "64M"
        memory.hihg = 1
        [cgroup."left/in"]
        memory.min = "64Q"
        [hog.large]
        size = "65M"
        [hog.inner]
        size = 1
        cgroup = "left"
        [hog.wrong]
        sise = 3
        kind = "anom"
        tasks = 3
        [hog."bad name"]
        size = 1
        cgroup = "lft/"
        [[call]]
        wait = true
        flags = 3
        order = "x"
        [[call]]
        expect.victims = ["lrage", "bad name"]
        via = "bfp"
        amount = "1M"
        [expect]
        kills = "x"
        survivors = ["wrong"]
    """) == [
        "cgroup.\".\".memory.hihg: no such key; did you mean 'high'?",
        f"cgroup.\"left/in\".memory.min: '64Q' is not a size; {SIZE}",
        "hog.wrong.size: is missing; every entry needs it",
        "hog.wrong.kind: 'anom' is not a kind of hog; did you mean 'anon'?",
        "hog.wrong.sise: no such key; did you mean 'size'?",
        f"hog.\"bad name\": 'bad name' cannot name a hog; {COMM}",
        "call[0].order: 'x' is not a whole number; from -2147483648 to 2147483647",
        "call[1].via: 'bfp' is not a trigger; did you mean 'bpf'?",
        "expect.kills: 'x' is not a count; write 1, '1..2', '2..' or '..2'",
        "tiemout: no such key; did you mean 'timeout'?",
        f"hog.inner.cgroup: 'left' {LEAVES}; write 'left/' for a leaf of its own, or name a leaf",
        "hog.large.size: hog 'large' wants 65M but memory.max of '.' is 64M; the limit would kill "
        "it before the call; raise it or shrink it, or write may_fail = true",
        "call[0].flags: wait and flags exclude each other; give one of them",
        "call[1].expect.victims: there is no hog 'lrage' in this scenario; did you mean 'large'?",
    ]


def test_faults_that_follow_from_another_are_left_out(files):
    assert files.faults("""
        [cgroup."n/.."]
        [cgroup."."]
        memory.max = "64M"
        [hog.a]
        size = "65M"
        may_fail = "true"
        [hog.b]
        size = "1M"
        cgroup = "n/../"
        [hog.c]
        size = 1
        sharer = 3
        kind = "shared"
        [[call]]
        global = "true"
        via = "sysrq"
        [[call]]
        target = "n/.."
    """) == [
        f"cgroup.\"n/..\": 'n/..' cannot name a cgroup; {CGROUP}",
        "hog.a.may_fail: 'true' is neither true nor false; write true or false, unquoted",
        "hog.c.sharer: 3 is not a string; put it into quotes",
        "call[0].global: 'true' is neither true nor false; write true or false, unquoted",
    ]


def test_all_faults_of_all_files_come_at_once(files):
    one = files.write("tiemout = 1\nzeit = 2", "one.toml")
    two = files.write("a =", "two.toml")
    good = files.write(HOG, "good.toml")
    with pytest.raises(ScenarioError) as caught:
        scenario.load_all([one, good, two])
    assert [line.partition(": ")[0] for line in caught.value.lines] == [str(one)] * 2 + [str(two)]
    assert str(caught.value).count("\n") == 2


def test_a_key_may_be_called_like_pydantics_mark_of_a_wrong_one(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text('"[key]" = 1\n[hog]\n"[key]" = 3\n')
    with pytest.raises(ScenarioError) as caught:
        scenario.load(path)
    assert any('odd.toml: "[key]": no such key' in line for line in caught.value.lines)
    assert any('hog."[key]": is not a table' in line for line in caught.value.lines)

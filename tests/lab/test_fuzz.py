"""`oomctl fuzz` where a case takes the guest down: it is kept, and the next guest goes on."""

from tests.lab.guests import MARKS, lab

pytestmark = MARKS

CRASH = """
oomctl fuzz --rounds 1000 --seed 7 --out {0} &
until ls {0}/under-way-*.toml >/dev/null 2>&1; do sleep 0.1; done
echo c >/proc/sysrq-trigger
"""


def test_a_case_that_takes_the_guest_down_is_kept_and_named(tmp_path):
    folder = tmp_path / "findings"
    done = lab("--rwdir", str(tmp_path), "--", "sh", "-c", CRASH.format(folder))
    assert done.returncode == 125, done.stderr
    (left,) = folder.iterdir()
    words = ["oomctl", "fuzz", "--rounds", "1", "--out", str(folder)]
    again = lab("--rwdir", str(tmp_path), "--", *words)
    assert again.returncode == 0, again.stderr
    (kept,) = folder.iterdir()
    assert kept.name == left.name.replace("under-way", "finding")
    assert f"finding {kept.name}: the machine stopped".encode() in again.stderr
    text = kept.read_text()
    assert "case 7:" in text
    assert "[[call]]" in text

"""Words that no user would write, and those that are nearly right."""

from hypothesis import strategies as st

LONG = "9" * 5000
NUMBERS = (
    *("0", "1", "-1", "3", "11", "4096", "1000000", "1000000000"),
    *(str(n + d) for n in (1 << 31, 1 << 32, 1 << 63, 1 << 64) for d in (-1, 0)),
    *("-2147483649", "-9223372036854775809", "0x10", "0xffffffffffffffffff", "0b1", "1_000"),
    *("1e3", "1e400", "-1e400", "nan", "NaN", "inf", "-inf", "1.5", ".5", "1.", "00", "010"),
    *("", " ", "+1", "--1", "٣", "৩", "²", "Ⅷ", "1 2", LONG, f"-{LONG}", f"0.{LONG}"),
)
SIZES = (
    *("64M", "1K", "8E", "16E", "0x10K", "3Q", "50%", "1e9%", "max", "64MiB", "64MB", "-1M"),
    *(f"{LONG}M", "٣M", "M", "1.5G", "9223372036854775807", "0K"),
)
TIMES = ("1s", "100ms", "1us", "1m", "1h", "1e400s", "99999999999999h", "-1s", "nans", "s")
NAMES = ("a", "/a", "/a/b", "a/../..", "..", ".", "/", "self", "x", "-", "--", "lock", "lock.busy")
TERMINAL = ("\x1b[2J", "\x1b]0;x\x07", "a\nb", "a\rb", "\x9b31m", "\u202e", "\udcff", "\x7f", "é\t")
KEYS = (
    *("hog.a.size=1M", "hog.a.size=64M,128M", "call[0].wait=true,false", "call.0.order=11"),
    *("call[*].repeat=2", "cgroup...memory.max=1G", "hog.*.count=3", "hog.b.size=1", "=", "a="),
    *("hog.a=1", "call[999999].wait=true", f"call.{LONG}.wait=true", "a" * 999, "a.b=" + "[" * 999),
    *("expect.kills=1..2", "timeout=nan", "timeout=1e400", f"timeout={LONG}", "description='\x1b'"),
    *("hog.a.size=" + ",".join(map(str, range(300))), "hog.a.adj='\\ud800'", "parent='/'"),
    *(f"call.{n}.order=1" for n in NUMBERS[:9]),
)
OVERRIDES = tuple(
    f"{key}={value}"
    for key in (
        *("hog.a.size", "hog.c.count", "hog.a.oom_score_adj", "hog.a.rate", "hog.a.kind"),
        *("call[0].order", "call[0].flags", "call[0].repeat", "call[0].callers", "call[0].delay"),
        *("cgroup...memory.max", "cgroup...pids.max", "expect.kills", "timeout", "hog.a.tasks"),
    )
    for value in (*NUMBERS, *SIZES, *TIMES)
)
HOGS = ("big=64M", "small=16M,adj=1000", "=1M", "a=1M,adj=1001", "a=1M,adj=", "1M,1M", "a/b=1M")
FILES = (
    *("valid.toml", "record.jsonl", "broken.toml", "empty", "binary", "utf16", "folder", "loop"),
    *("missing", "folder/missing", "valid.toml/x", "/dev/null", "/dev/full", "/dev/zero"),
    *("n" * 300, "a b", "a\nb.toml", "out", "folder/out", "half.jsonl", "zeros"),
)

# no slash: as root, and as an --output, it could name anything of this machine
loose = st.text(st.characters(exclude_characters="/\0", exclude_categories=[]), max_size=12).map(
    lambda text: text.encode("utf-8", "surrogateescape" if _byte(text) else "replace").decode(
        "utf-8", "surrogateescape"
    )
)


def _byte(text):
    return all(not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff" for c in text)


words = st.sampled_from([*NUMBERS, *SIZES, *TIMES, *NAMES, *TERMINAL, *KEYS, *HOGS, *FILES]) | loose
"""Any word of a command line; as the kernel hands them over, so without a NUL byte."""

FITTING = {
    "FORM[=FILE]": [
        *("table", "json", "jsonl", "markdown", "html", "csv", "trace", "ktap", "lava-lines"),
        *("json=new.json", "html=new.html", "table=", "=new", "json=.", "csv=no/new.csv"),
    ],
    "SIZE": SIZES,
    "N": NUMBERS,
    "TIME": (*NUMBERS, *TIMES),
    "PATH": NAMES,
    "KEY=VALUE": (*KEYS, *OVERRIDES),
    "KEY=A,B...": (*KEYS, *OVERRIDES),
    "[NAME=]SIZE[,adj=N]": HOGS,
    "FILE": (*("record.jsonl", "valid.toml", "out") * 4, *FILES),
    "FILE...": (*("valid.toml",) * 20, *FILES),
    "A": (*("record.jsonl",) * 9, *FILES),
    "B": (*("record.jsonl", "half.jsonl") * 5, *FILES),
    "TRIGGER,...": ("bpf", "bpf,limit", "kill,kill", ",", "sysrq", "x"),
    "NAME[=VALUE]": ("HOME", "A=1", "=", "A B=1", "A=\x1b"),
}
"""Values by the metavar of an option: words that fit, or nearly."""

"""Strategies for scenarios: valid ones, and anything that TOML can hold."""

from hypothesis import strategies as st

from oomctl.scenario.fault import Origin
from oomctl.scenario.loader import checked
from oomctl.scenario.names import above

M = 1 << 20
_NAMES = ("a", "b", "c-1", "long_name")
_CGROUPS = (".", "left", "right", "left/in", "left/in/deep", r"a\x2db.slice/é b", "\x1b[2J")


@st.composite
def valid_tables(draw):
    """Parsed TOML of a valid scenario."""
    cgroups = draw(st.lists(st.sampled_from(_CGROUPS), unique=True))
    inner = {up for each in cgroups for up in above(each)}
    homes = ["./", *(f"{each}/" for each in cgroups)]
    homes += [each for each in cgroups if each not in inner]
    hogs = draw(
        st.dictionaries(
            st.sampled_from(_NAMES),
            st.fixed_dictionaries(
                {"size": st.integers(0, 8 * M) | st.sampled_from(["1M", "4K", "0.1%"])},
                optional={
                    "count": st.integers(0, 3),
                    "oom_score_adj": st.integers(-1000, 1000),
                    "cgroup": st.sampled_from(homes),
                    "kind": st.sampled_from(["anon", "file", "pipe", "stopped"]),
                    "rate": st.sampled_from(["1M", 4096]),
                    "comm": st.just("a name"),
                },
            ),
            max_size=4,
        )
    )
    # a leaf below one that has processes already makes that an inner cgroup
    homes_taken = {hog.get("cgroup", "./") for hog in hogs.values()}
    for hog in hogs.values():
        if f"{hog.get('cgroup')}/" in homes_taken:
            hog["cgroup"] = "./"
    calls = st.fixed_dictionaries(
        {},
        optional={
            "target": st.sampled_from([".", *cgroups]),
            "order": st.integers(-2, 12),
            "wait": st.booleans(),
            "callers": st.integers(1, 9),
            "delay": st.sampled_from([0, 0.5, "10ms"]),
            "until": st.sampled_from(["exited", "freed", "returned"]),
        },
    )
    return {
        "cgroup": {each: draw(_settings) for each in cgroups},
        "hog": hogs,
        "call": draw(st.lists(calls, max_size=3)),
        "expect": {
            "victims": draw(st.lists(st.sampled_from(sorted(hogs)), unique=True)) if hogs else [],
            "cgroup": {each: draw(_counted) for each in cgroups},
        },
    }


_counts = st.dictionaries(st.sampled_from(["oom", "oom_kill", "max"]), st.integers(0, 3))
_counted = st.fixed_dictionaries({}, optional={"events": _counts, "events_local": _counts})


_settings = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.fixed_dictionaries(
            {},
            optional={
                "max": st.sampled_from(["max", "1G", "50%"]),
                "high": st.sampled_from(["max", 123]),
                "low": st.sampled_from([0, "1M", "10%"]),
                "oom": st.fixed_dictionaries({"group": st.booleans()}),
            },
        ),
        "pids": st.fixed_dictionaries({"max": st.integers(0, 100)}),
    },
)


@st.composite
def valid(draw):
    """A valid scenario."""
    return checked(draw(valid_tables()), "x", "", Origin("x.toml"))


scalars = (
    st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.times()
    | st.datetimes()
)
"""The scalars of TOML."""

_KEYS = st.text(max_size=5) | st.sampled_from(
    ["hog", "call", "cgroup", "expect", "size", "memory", "max", ".", "a", "timeout", "global"]
)
anything = st.recursive(
    scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(_KEYS, below, max_size=4)
)
trees = st.dictionaries(_KEYS, anything, max_size=5)
"""Any TOML document."""

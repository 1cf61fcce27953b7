"""Any command line of any command: one line for what is wrong, and nothing is made."""

from hypothesis import given
from hypothesis import strategies as st

from oomctl import resources
from tests.hostile.folder import furnish
from tests.hostile.ground import ROOT, cases, count, invoke, valid
from tests.hostile.pool import FITTING, words


def commands(command, path=()):
    """Yield each command of the tree with the words that call it."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, each in below.items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands(ROOT))
LARGE = [("declare",), ("run",), ("scenario", "check")]
CODES = {0, 1, 2, 3, 4}
UNTESTABLE = 125  # what `git bisect run` skips
BROKEN = 32  # what LTP reads as: this machine cannot


def values(parameter):
    """Words for a parameter, most of them such as it may take."""
    fitting = [*getattr(parameter.type, "choices", ()), *FITTING.get(parameter.metavar, ())]
    return st.sampled_from(fitting) | words if fitting else words


def option(parameter):
    """An option as it is given, with a value that may be missing or wrong."""
    name = st.sampled_from([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag or parameter.count:
        return name.map(lambda name: (name,))
    apart = st.tuples(name, values(parameter))
    joined = apart.map(lambda pair: ("=".join(pair),))
    return apart | apart | joined | name.map(lambda name: (name,))


@st.composite
def lines(draw):
    """The words of a command line."""
    path = draw(st.sampled_from([*COMMANDS, *LARGE * 3, ()]))
    command = COMMANDS.get(path, ROOT)
    named = [each for each in command.params if each.param_type_name == "option"]
    named = [
        each for each in named if each.name != "install_completion"
    ]  # typer's: edits ~/.bashrc
    placed = [each for each in command.params if each.param_type_name == "argument"]
    given_ = [[draw(values(each))] for each in placed if draw(st.integers(0, 9))]
    some = st.one_of(*map(option, named), words.map(lambda word: (word,)))
    given_ += draw(st.lists(some, max_size=5))
    if draw(st.booleans()):
        given_ = draw(st.permutations(given_))
    return [*path, *(word for each in given_ for word in each)]


def listing(folder):
    return {path.name: path.lstat().st_ino for path in (*folder.iterdir(), *folder.glob("*/*"))}


@cases(35)
@given(lines())
def test_any_command_line_ends_in_a_documented_way(harmless, furnished, line):
    count("command lines")
    before = listing(furnished)
    codes = CODES | ({UNTESTABLE} if any("--b" in word for word in line) else set())
    codes |= {BROKEN} if any("ltp" in word for word in line) else set()
    result = valid(invoke(*line), codes)
    if result.exit_code in (2, 3) and not {"kfunc", "doctor"} & {*line}:
        assert result.stdout == ""
    after = listing(furnished)
    assert before.keys() <= after.keys()
    if made := {name for name, number in after.items() if before.get(name) != number}:
        # these report what the machine lacks, and exit with 3
        assert result.exit_code in (0, 1) or {"kfunc", "doctor"} & {*line}
        copied = made & {path.name for path in resources.examples()}
        forms = sum("new." in word for word in line)
        assert len(made) <= max(forms, 1) or (copied and "examples" in line)
        assert all(any(name in word for word in line) for name in made - copied)
        furnish(furnished)


def test_every_command_and_option_is_tried():
    assert len(COMMANDS) >= 15
    kinds = {each.metavar for command in COMMANDS.values() for each in command.params}
    assert set(FITTING) - {"A", "B"} <= kinds

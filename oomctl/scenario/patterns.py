r"""Regular expressions that match what the parsers take, in the syntax of Python and JSON schemas.

Pure. `$` is left out: in Python it also matches before a newline at the end.
"""

from oomctl.oom.errnos import NUMBERS
from oomctl.oom.plan import INT32_MAX
from oomctl.units import SIZE_LIMIT

END = r"(?![\s\S])"
_BLANKS = r"[ \t\n\r\f\v]*"
_HEX = "[0-9a-fA-F]"
_DIGITS = "[0-9]"
DAY = 86_400


def whole(pattern: str) -> str:
    """Return a pattern that matches a text only as a whole."""
    return f"^(?:{pattern}){END}"


def up_to(limit: int) -> str:
    """Return a pattern of the decimal numbers from 0 to a limit, without leading zeros."""
    digits = str(limit)
    choices = [
        "0",
        *([f"[1-9]{_DIGITS}{{0,{len(digits) - 2}}}"] if len(digits) > 1 else []),
        digits,
    ]
    for place, digit in enumerate(digits):
        lowest, highest = int(place == 0), int(digit) - 1
        if lowest <= highest:
            rest = len(digits) - place - 1
            choices.append(f"{digits[:place]}[{lowest}-{highest}]{_DIGITS}{{{rest}}}")
    return f"(?:{'|'.join(choices)})"


def _up_to_bits(bits: int) -> str:
    """Return a pattern of hexadecimal digits of a number of at most `bits` bits."""
    whole_digits, rest = divmod(bits, 4)
    first = f"[0-{(1 << rest) - 1}]?" if rest else ""
    return f"0*{first}{_HEX}{{1,{whole_digits}}}(?!{_HEX})"


def _sizes() -> str:
    bits = SIZE_LIMIT.bit_length() - 1
    choices = []
    for power, suffix in enumerate(["", "Kk", "Mm", "Gg", "Tt", "Pp", "Ee"]):
        left = bits - 10 * power
        number = up_to((1 << left) - 1)
        if suffix != "Ee":
            number = f"(?:{number}|0[xX]{_up_to_bits(left)})"
        choices.append(f"{number}[{suffix}](?:iB?)?" if suffix else number)
    return f"{_BLANKS}(?:{'|'.join(choices)}){_BLANKS}"


def _times(least: dict[str, str]) -> str:
    """Return a pattern of times up to a day; `least` has a pattern of the shortest per unit."""
    most = {"": DAY, "us": DAY * 10**6, "ms": DAY * 1000, "s": DAY, "m": 1440, "h": 24}
    choices = []
    for unit, limit in most.items():
        long_enough = f"(?={least[unit or 's']})" if least else ""
        below = rf"0*{up_to(limit - 1)}(?:\.[0-9]{{1,9}})?"
        choices.append(rf"{long_enough}(?:{below}|0*{limit}(?:\.0{{1,9}})?) ?{unit}")
    return f"{_BLANKS}(?:{'|'.join(f'(?:{each})' for each in choices)}){_BLANKS}"


def _fraction_from(digits: str) -> str:
    """Return a pattern of numbers that are at least `0.digits`."""
    choices = [f"{digits}{_DIGITS}*"]
    choices += [
        f"{digits[:place]}[{int(digit) + 1}-9]{_DIGITS}*"
        for place, digit in enumerate(digits)
        if digit != "9"
    ]
    return rf"0*(?:[1-9]|0\.(?:{'|'.join(choices)}))"


_TENTH = {  # a tenth of a second
    "us": "0*[1-9][0-9]{5}",
    "ms": "0*[1-9][0-9]{2}",
    "s": _fraction_from("1"),
    "m": _fraction_from("001666667"),
    "h": _fraction_from("000027778"),
}

SIZE = _sizes()
ZERO = f"{_BLANKS}0(?:[xX]0+(?!{_HEX}))?(?:[KMGTPEkmgtpe](?:iB?)?)?{_BLANKS}"
PERCENT = rf"{_BLANKS}[0-9]{{1,6}}(?:\.[0-9]{{1,6}})? ?%{_BLANKS}"
PART = (
    rf"{_BLANKS}(?:0{{0,4}}[0-9]{{1,2}}(?:\.[0-9]{{1,6}})?|0{{0,3}}100(?:\.0{{1,6}})?) ?%{_BLANKS}"
)
TIME = _times({})
TIMEOUT = _times(_TENTH)
COUNT = r"[0-9]{1,18}\.\.[0-9]{0,18}|\.\.[0-9]{1,18}"
RETURN = rf"none|-?0*{up_to(INT32_MAX)}|-0*{INT32_MAX + 1}|-?(?:{'|'.join(NUMBERS)})"

HOG = "[A-Za-z0-9_-]{1,15}"
COMM = "[ -~]{1,15}"
INTERFACE = r"(?:cgroup|memory|pids|cpu|cpuset|io|hugetlb|rdma|misc|dmem|irq|debug)\."
DEPTH = 32
_NAME = rf"(?!\.\.?(?:/|{END}))(?!{INTERFACE})[^/\x00\n]{{1,255}}"
CGROUP = rf"\.|{_NAME}(?:/{_NAME}){{0,{DEPTH - 1}}}"
AFTER = rf"filled|{HOG}\.(?:filled|marked|exited)|call\[[0-9]{{1,4}}\]\.returned"
SYSFS = r"/sys/kernel/mm(?:/[A-Za-z0-9_-]{1,64}){1,6}"
ABSOLUTE = rf"(?![\s\S]*/\.\.?(?:/|{END}))/[^\x00\n]*"
MOUNTED = rf"/+sys/+fs/+cgroup(?:/|{END})"
EXISTING = rf"(?!{MOUNTED}){ABSOLUTE}"
TARGET = rf"(?!/)[\s\S]*|(?!/+{END}){EXISTING}"

SYSCTL_PART = "[a-z0-9_-]{1,64}"
SYSCTL = rf"{SYSCTL_PART}(?:\.{SYSCTL_PART})+"
SYSCTL_BELOW = rf"{SYSCTL_PART}(?:\.{SYSCTL_PART})*"
WORDS = r"[!-~]+(?:[ \t][!-~]+)*"

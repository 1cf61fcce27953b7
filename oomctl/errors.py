"""The kinds of error that a user may see: one line with what, where and what to do."""

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of every command; the README documents them."""

    OK = 0
    NOT_AS_WANTED = 1
    USAGE = 2
    UNSUPPORTED = 3
    FAILED = 4


class OomctlError(Exception):
    """oomctl itself failed, or could not clean up.

    `why` is one line: what and where. `hint` is one line: what to do about it. `detail` is any
    number of lines (a compiler's or the verifier's log) which are shown with `-v` only.
    """

    code: ClassVar[Exit] = Exit.FAILED

    def __init__(self, why: str, hint: str = "", detail: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.why}; {self.hint}" if self.hint else self.why

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of its text; only an error with several causes has more than one."""
        return (str(self),)


class UsageError(OomctlError):
    """The request of the user makes no sense or must not be done."""

    code = Exit.USAGE


class UnsupportedError(OomctlError):
    """This machine or this kernel cannot do it."""

    code = Exit.UNSUPPORTED


def while_ending(error: BaseException) -> bool:
    """Return whether an error was raised in the clean-up after an ending signal."""
    causes = error.__context__
    return causes is not None and (not isinstance(causes, Exception) or while_ending(causes))

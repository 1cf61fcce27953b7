"""The limit of open files is raised as far as it may be."""

import resource

import pytest

from oomctl.proc import openfiles


@pytest.fixture
def limits(monkeypatch):
    """A process with these limits, soft and hard; `most` is what the kernel lets it have."""

    class Limits:
        now, most = (1024, 4096), 4096

    def setrlimit(_number, wanted):
        if wanted[1] > max(Limits.most, Limits.now[1]):
            raise ValueError("not allowed to raise maximum limit")
        Limits.now = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _number: Limits.now)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    return Limits


@pytest.mark.parametrize(
    ("hard", "most", "raised"),
    [
        (4096, 4096, 4096),
        (4096, 1 << 20, 1 << 17),
        (1 << 19, 1 << 20, 1 << 19),
        (1 << 19, 0, 1 << 19),
        (resource.RLIM_INFINITY, 0, resource.RLIM_INFINITY),
    ],
)
def test_it_is_raised_to_the_hard_limit_or_beyond(limits, hard, most, raised):
    limits.now, limits.most = (1024, hard), most
    assert openfiles.raise_limit() == raised
    assert limits.now == (raised, raised)

"""Paths of cgroups, such as "/a/b": what lies below what. Pure."""

from collections.abc import Iterator


def is_within(cgroup: str, top: str) -> bool:
    """Tell whether a cgroup is `top` or lies below it; everything lies below "/"."""
    return cgroup == top or cgroup.startswith(f"{top.rstrip('/')}/")


def ancestors(cgroup: str) -> Iterator[str]:
    """Yield a cgroup and all above it, the highest first: "/", "/a", "/a/b"."""
    yield "/"
    names = [name for name in cgroup.split("/") if name]
    for depth in range(1, len(names) + 1):
        yield f"/{'/'.join(names[:depth])}"


def relative(cgroup: str, top: str | None) -> str:
    """Render `top` as `.` and what lies below it as `./leaf`, any other cgroup as it is."""
    if top is None or not is_within(cgroup, top):
        return cgroup
    return "." if cgroup == top else f"./{cgroup.removeprefix(top).lstrip('/')}"

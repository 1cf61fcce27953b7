"""Paths of cgroups, such as "/a/b": what lies below what. Pure."""


def is_within(cgroup: str, top: str) -> bool:
    """Tell whether a cgroup is `top` or lies below it; everything lies below "/"."""
    return cgroup == top or cgroup.startswith(f"{top.rstrip('/')}/")


def relative(cgroup: str, top: str | None) -> str:
    """Render `top` as `.` and what lies below it as `./leaf`, any other cgroup as it is."""
    if top is None or not is_within(cgroup, top):
        return cgroup
    return "." if cgroup == top else f"./{cgroup.removeprefix(top).lstrip('/')}"

"""The actions of a plan in words: what is done, and after what."""

from oomctl.oom.enums import Do, Occasion
from oomctl.oom.paths import relative
from oomctl.oom.plan import Action, After
from oomctl.units import format_duration


def action_text(action: Action, top: str | None = None) -> str:
    """Say what an action does; cgroups are shown relative to `top`."""
    cgroup = relative(action.cgroup, top) if top else action.cgroup
    match action.do:
        case Do.WRITE:
            return f"write {cgroup}/{action.file} = {action.value}"
        case Do.REMOVE:
            return f"remove {cgroup}"
        case Do.MOVE:
            return f"move {action.hog} to {cgroup}"
        case Do.SYSCTL:
            return f"set {action.file} = {action.value}"
        case Do.SYSFS:
            return f"write {action.file} = {action.value}"
    return f"{action.do} {action.hog}"


def after_text(after: After) -> str:
    """Say what an action comes after, and how long."""
    delay = format_duration(round(after.delay * 1e9))
    if after.occasion == Occasion.STARTED:
        return delay
    names = ", ".join(after.hogs)
    match after.occasion:
        case Occasion.RETURNED:
            what = f"call {after.call + 1} has returned"
        case Occasion.FILLED if not after.hogs:
            what = "the hogs are filled"
        case Occasion.FILLED:
            what = f"{names} {'is' if len(after.hogs) == 1 else 'are'} filled"
        case Occasion.MARKED:
            what = f"{names} is marked"
        case _:
            what = f"{names} has ended"
    return f"{delay} after {what}" if after.delay else what

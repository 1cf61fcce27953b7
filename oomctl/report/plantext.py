"""A plan as `--dry-run` prints it, one step a line."""

from oomctl.plan import Plan, Setting, Step, flag_names
from oomctl.units import format_size


def describe(plan: Plan) -> list[str]:
    """Return what would be made, written and called, in order."""
    lines = [_written(s) for s in plan.settings if s.cgroup not in plan.cgroups]
    for cgroup in plan.cgroups:
        lines.append(f"mkdir   {cgroup}")
        lines += [_written(s) for s in plan.settings if s.cgroup == cgroup]
    lines += [
        f"hog     {hog.name}: {format_size(hog.size)} of anonymous memory in {hog.cgroup}, "
        f"oom_score_adj {hog.oom_score_adj}"
        for hog in plan.hogs
    ]
    lines += [_called(step) for step in plan.steps]
    if plan.cgroups or plan.hogs:
        lines.append("keep    hogs and cgroups" if plan.keep else "remove  hogs and cgroups")
    return lines


def _called(step: Step) -> str:
    call = step.call
    memcg = "NULL" if call.target is None else f"memcg of {call.target}"
    times = f", {step.repeat} times" if step.repeat > 1 else ""
    return (
        f"call    bpf_out_of_memory({memcg}, order={call.order}, "
        f"flags={flag_names(call.flags)}){times}"
    )


def _written(setting: Setting) -> str:
    return f"write   {setting.cgroup.rstrip('/')}/{setting.file} = {setting.value}" + (
        " (if the kernel has it)" if setting.optional else ""
    )

"""`oomctl lab fetch` and `oomctl lab status`: get ready what `lab run` needs, and show it."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from oomctl import console
from oomctl.cli import completion, guest, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import flag, value
from oomctl.cli.output import Output
from oomctl.errors import OomctlError
from oomctl.lab import fitness, guest_kernel, guest_root, kept, kernel_option, kvm, stock, tools
from oomctl.lab.architecture import KERNELS
from oomctl.lab.guest_kernel import Kernel
from oomctl.oom.as_json import SCHEMA
from oomctl.report.parts import Lines, as_text

Form = Literal["table", "json"]
_KVM = {True: "works", False: "does not work here", None: "not probed yet"}


@dataclass(frozen=True)
class FetchOptions:
    """The options of `oomctl lab fetch`."""

    update: Annotated[bool, flag("--update", "Ask the archive for a newer kernel.")] = False
    kernel: Annotated[
        str,
        value(
            "KERNEL",
            "The kernel to fetch: stock, or a version such as 6.12.",
            autocompletion=completion.kernels,
        ),
    ] = "stock"
    arch: guest.Arch = None


@command("kernel, module and KVM's answer are there", environment=[CACHE])
def fetch(given: FetchOptions) -> None:
    """Fetch and prepare what the lab needs.

    It fetches Debian's newest kernel that works here into the cache, about 130 MB, or the one of
    --kernel, with apt's own checks of the signatures, builds the module, and probes KVM. It
    installs nothing, and does nothing if all is there.

    Examples:
      oomctl lab fetch
      oomctl lab fetch --update
      oomctl lab fetch --kernel 7.3
    """
    console.verbose_steps()
    with Output(None) as place:
        tools.require(KERNELS.get(given.arch or ""))
        found = kernel_option.find(given.kernel, given.update, given.arch or "")
        fitness.require(found, kfunc=True)
        guest_kernel.module_for(found)
        with guest_root.in_use(found.architecture):
            accelerated = found.architecture.is_native and kvm.works(found.image)
        state = "with KVM" if accelerated else "emulated (no working KVM)"
        place.write(f"{found.release} is ready, {state}\n")


@dataclass(frozen=True)
class StatusOptions:
    """The options of `oomctl lab status`."""

    form: Annotated[Form, options.form(Form)] = "table"
    output: options.OutputFile = None


@command("shown, whatever is missing", environment=[CACHE])
def status(given: StatusOptions) -> None:
    """Show what the lab would use, and the guests that are kept.

    It fetches, builds and boots nothing.

    Examples:
      oomctl lab status
      oomctl lab status -f json
    """
    found, lack = _look()
    with Output(given.output) as place:
        if given.form == "json":
            place.write(_json(found, lack))
        else:
            place.write(as_text([Lines(_rows(found, lack))], terminal=place.width))


def _rows(found: Kernel | None, lack: str) -> list[tuple[str, str]]:
    rows = [("programs", _missing() or "all there"), ("kernel", found.release if found else lack)]
    if found:
        rows.append(("module", "built" if guest_kernel.built(found) else "to be built"))
        rows.append(("image", str(found.image)))
    rows.append(("KVM", _KVM[kvm.known()]))
    for each in kept.listed():
        rows.append(("guest", f"{each.name}: {each.kernel}, kept by pid {each.pid}"))
    return rows


def _json(found: Kernel | None, lack: str) -> str:
    kernel: dict[str, Any] | None = None
    if found:
        built = guest_kernel.built(found)
        kernel = {"release": found.release, "image": str(found.image), "module_built": built}
    guests = [asdict(each) for each in kept.listed()]
    tree = {
        "schema": SCHEMA,
        "missing": _missing() or None,
        "kernel": kernel,
        "no_kernel_reason": lack or None,
        "kvm": kvm.known(),
        "guests": [
            {"name": one["name"], "kernel": one["kernel"], "keeper_pid": one["pid"]}
            | {"owner_pid": one["owner"], "idle_s": one["idle"]}
            for one in guests
        ],
    }
    return json.dumps(tree, indent=2) + "\n"


def _missing() -> str:
    """Return what is missing of the programs, and how to get it; "" if nothing is."""
    try:
        tools.require()
    except OomctlError as error:
        return str(error)
    return ""


def _look() -> tuple[Kernel | None, str]:
    """Return the stock kernel, and what to show if there is none."""
    try:
        found = stock.chosen()
    except OomctlError as error:
        return None, str(error)
    return found, "" if found else "none yet: oomctl lab fetch"

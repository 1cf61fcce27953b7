"""Files that travel inside the package: the BPF object, the hogs, the kernel side's sources."""

from pathlib import Path

from oomctl.errors import OomctlError

_PACKAGE = Path(__file__).parent


def built(name: str) -> Path:
    """Return the path of a file that `hatch_build.py` made; OomctlError where it was not made."""
    path = _PACKAGE / "built" / name
    if not path.exists():
        raise OomctlError(
            f"{path} is missing from this installation",
            "in a checkout run `make build`; otherwise install oomctl again",
        )
    return path


def kernel_sources() -> Path:
    """Return the folder of the kernel side: `bpf/kernel` in a checkout, its copy in a wheel."""
    checkout = _PACKAGE.parent / "bpf" / "kernel"
    return checkout if checkout.is_dir() else built("kernel")

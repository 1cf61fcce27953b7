"""The architectures of guests, and what differs between them for QEMU and for Debian."""

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """An architecture: `machine` is its `uname -m`, `debian` its name in Debian's archive.

    `images` are the paths of its images in a build tree, `emulated` QEMU's words for the processor
    if KVM does not run it, `options` words of its kernel command line. `saves` tells whether
    QEMU can give a restored machine a new identity (hw/acpi/vmgenid.c: x86 only).
    """

    machine: str
    debian: str
    qemu_package: str = "qemu-system"
    console: str = "ttyS0"
    images: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    options: str = ""
    saves: bool = False

    @property
    def is_native(self) -> bool:
        """Whether it is that of this machine."""
        return self.machine == platform.machine()


# A named model makes TCG emulate only what it has. virtme-ng's choice, `max`, double-faults with
# Debian's 6.12 under QEMU 7.2; models before Haswell make glibc slower. With a thread for each
# processor, one of them may execute an INT3 that another has replaced while the kernel changes its
# code (smp_text_poke_batch_process()), of which the kernel then knows nothing: it panics.
# tsc=unstable: TCG takes the TSC from the host and jumps with it (a guest was seen 14 minutes
# ahead), HPET does not.
X86 = Architecture(
    "x86_64",
    "amd64",
    "qemu-system-x86",
    images=("arch/x86/boot/bzImage",),
    emulated=("-cpu", "Haswell", "-accel", "tcg,thread=single"),
    options="tsc=unstable no_timer_check",
    saves=True,
)
# virtme-ng's Cortex-A57, and the A72, have no pages of 16 KiB (ID_AA64MMFR0_EL1.TGran16); the
# interrupt controller that QEMU takes by default has 8 processors at most. A thread for each: with
# one for all, each TLBI that is for all of them waits until the others have used up their 100 ms.
ARM = Architecture(
    "aarch64",
    "arm64",
    "qemu-system-arm",
    "ttyAMA0",
    images=("arch/arm64/boot/Image.gz", "arch/arm64/boot/Image"),
    emulated=(
        *("-machine", "gic-version=3"),
        *("-cpu", "neoverse-n1", "-accel", "tcg,thread=multi"),
    ),
)
KNOWN = (X86, ARM)
KERNELS = {"amd64": X86, "arm64": ARM, "arm64-16k": ARM}
"""Debian's kernels that the lab boots: what ends their releases, and their architectures."""


def native() -> Architecture:
    """Return the architecture of this machine."""
    machine = platform.machine()
    found = (each for each in KNOWN if each.machine == machine)
    return next(found, Architecture(machine, machine))

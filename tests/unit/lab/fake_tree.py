"""A tree that is built as a kernel is, in no time: its Makefile knows the lab's two targets."""

import subprocess

from tests.unit.lab.images import bzimage, compressed, vmlinux

MAKEFILE = """
O ?= .
ifneq ($(M),)
endif
allnoconfig:
	@mkdir -p $O/include/config $O/arch/x86/boot
	@grep -v LOST $(KCONFIG_ALLCONFIG) >$O/.config
	@echo "  GEN     .config"
bzImage:
	@echo "  CC      mm/oom_kill.o"
	@echo once >>$O/built
	@[ ! -e fail ] || { echo "mm/oom_kill.c:1: error: oh no"; exit 1; }
	@[ ! -e hang ] || { touch $O/hangs; sleep 1000; }
	@echo 9.9-mine >$O/include/config/kernel.release
	@cp image $O/arch/x86/boot/bzImage
	@cat mm/*.c >$O/System.map
	@touch $O/modules.builtin $O/modules.order
"""


def fake_tree(tree, kfunc=False):
    """Write the tree, a git tree; with `kfunc` its mm/ has that already."""
    for name, text in (
        ("Makefile", MAKEFILE),
        ("Kconfig", ""),
        ("mm/Makefile", "obj-y += oom_kill.o\n"),
        ("mm/oom_kill.c", "out_of_memory\n" + "bpf_out_of_memory\n" * kfunc),
        ("kernel/x.c", ""),
        (".gitignore", "*.o\n"),
        ("mm/x.o", "an object"),
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    bzimage(tree / "image", "9.9-mine", payload=compressed(vmlinux(), "gzip"))
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    return tree

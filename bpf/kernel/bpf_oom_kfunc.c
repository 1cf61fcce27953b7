// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf_out_of_memory(): declare OOM on a memory cgroup, or system-wide, from BPF.
 *
 * A test vehicle for the kfunc as proposed in version 3 of the BPF OOM series,
 * to be thrown away once that is merged. Not for production: a module gets at
 * two symbols that the kernel does not export to it.
 *
 * This file is either a loadable module for an unmodified kernel (see Kbuild),
 * or one more built-in object of mm/ (obj-y += bpf_oom_kfunc.o).
 *
 * Needs CONFIG_MEMCG, CONFIG_BPF_JIT, CONFIG_BPF_SYSCALL, CONFIG_DEBUG_INFO_BTF;
 * as module also CONFIG_DEBUG_INFO_BTF_MODULES, CONFIG_KPROBES and, because
 * oom_lock is data, CONFIG_KALLSYMS_ALL.
 *
 * Like the proposal, nothing here refuses the root memory cgroup, and the OOM
 * killer hits a BUG() on it while oom_lock is held: never pass it.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/memcontrol.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/oom.h>
#include <linux/static_call.h>

/* Up to 6.x a kfunc asks for trusted pointers; later every kfunc has them. */
#ifndef KF_TRUSTED_ARGS
#define KF_TRUSTED_ARGS 0
#endif

/*
 * Kernels have the memcg accessors in mm/bpf_memcontrol.c or not at all. A
 * module cannot see that file: Kbuild asks the BTF of vmlinux instead.
 */
#if !defined(HAVE_MEMCG_ACCESSORS) && !__has_include("bpf_memcontrol.c")
#define PROVIDE_MEMCG_ACCESSORS
#endif

#define OOM_NAME_LEN 64

enum bpf_oom_flags {
	BPF_OOM_FLAGS_WAIT_ON_OOM_LOCK = 1 << 0,
	BPF_OOM_FLAGS_LAST = 1 << 1,
};

/*
 * A static call is a direct call. An indirect one into vmlinux would fault with
 * IBT or FineIBT, which seal every function whose address is not taken
 * (apply_seal_endbr() in arch/x86/kernel/alternative.c).
 */
#ifdef MODULE
DEFINE_STATIC_CALL_NULL(bpf_oom_lookup, kallsyms_lookup_name);
DEFINE_STATIC_CALL_NULL(bpf_oom_kill, out_of_memory);
static struct mutex *lock;
#else
DEFINE_STATIC_CALL(bpf_oom_kill, out_of_memory);
static struct mutex * const lock = &oom_lock;
#endif

__bpf_kfunc_start_defs();

/**
 * bpf_out_of_memory - declare OOM and let the kernel choose the victim
 * @memcg__nullable: memory cgroup that is out of memory, NULL for the system
 * @order: order of the failed allocation, for the report only
 * @flags: BPF_OOM_FLAGS_WAIT_ON_OOM_LOCK or 0
 *
 * Return: 1 if a task was chosen, or a former victim is still on its way out;
 * 0 if there was nothing to kill; -EINVAL for a bad order or flag; -EBUSY if
 * another OOM is being handled; -EINTR if the wait for it was killed.
 */
__bpf_kfunc int bpf_out_of_memory(struct mem_cgroup *memcg__nullable,
				  int order, u64 flags)
{
	struct oom_control oc = {
		.memcg = memcg__nullable,
		.gfp_mask = GFP_KERNEL,
		.order = order,
	};
	int ret;

	if (flags & ~(BPF_OOM_FLAGS_LAST - 1))
		return -EINVAL;

	if (order < 0 || order > MAX_PAGE_ORDER)
		return -EINVAL;

	if (flags & BPF_OOM_FLAGS_WAIT_ON_OOM_LOCK)
		ret = mutex_lock_killable(lock);
	else
		ret = mutex_trylock(lock) ? 0 : -EBUSY;
	if (ret)
		return ret;

	ret = static_call(bpf_oom_kill)(&oc);

	mutex_unlock(lock);
	return ret;
}

#ifdef PROVIDE_MEMCG_ACCESSORS
/**
 * bpf_get_mem_cgroup - take a reference on the memory cgroup of a cgroup
 * @css: state of any controller of that cgroup, or its cgroup's own
 *
 * Return: the memory cgroup; NULL if that cgroup has none, or it is going away.
 */
__bpf_kfunc struct mem_cgroup *
bpf_get_mem_cgroup(struct cgroup_subsys_state *css)
{
	if (mem_cgroup_disabled())
		return NULL;

	guard(rcu)();

	if (css->ss != &memory_cgrp_subsys)
		css = rcu_dereference(css->cgroup->subsys[memory_cgrp_id]);
	if (!css || !css_tryget(css))
		return NULL;

	return mem_cgroup_from_css(css);
}

/**
 * bpf_put_mem_cgroup - drop the reference of bpf_get_mem_cgroup()
 * @memcg: memory cgroup
 */
__bpf_kfunc void bpf_put_mem_cgroup(struct mem_cgroup *memcg)
{
	mem_cgroup_put(memcg);
}
#endif

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(bpf_oom_kfuncs)
BTF_ID_FLAGS(func, bpf_out_of_memory, KF_SLEEPABLE | KF_TRUSTED_ARGS)
#ifdef PROVIDE_MEMCG_ACCESSORS
BTF_ID_FLAGS(func, bpf_get_mem_cgroup, KF_ACQUIRE | KF_RET_NULL | KF_RCU)
BTF_ID_FLAGS(func, bpf_put_mem_cgroup, KF_RELEASE)
#endif
BTF_KFUNCS_END(bpf_oom_kfuncs)

struct bpf_struct_ops_link;

/**
 * struct bpf_oom_ops - an OOM handler of the series
 * @handle_out_of_memory: called with oom_lock held; 1 if it freed memory
 * @name: for the report
 *
 * Handlers are loaded, so that the filter below has what it is for, and never
 * attached: out_of_memory() of this kernel calls none.
 */
struct bpf_oom_ops {
	int (*handle_out_of_memory)(struct oom_control *oc,
				    struct bpf_struct_ops_link *link);
	char name[OOM_NAME_LEN];
};

/* The type in BTF, once the verifier has met a program of it. */
static const struct btf_type *bpf_oom_ops_type;

static int bpf_oom_ops_init(struct btf *btf)
{
	return 0;
}

static int bpf_oom_ops_check_member(const struct btf_type *type,
				    const struct btf_member *member,
				    const struct bpf_prog *prog)
{
	WRITE_ONCE(bpf_oom_ops_type, type);
	return 0;
}

static int bpf_oom_ops_init_member(const struct btf_type *type,
				   const struct btf_member *member,
				   void *kdata, const void *udata)
{
	const struct bpf_oom_ops *from = udata;
	struct bpf_oom_ops *to = kdata;

	if (__btf_member_bit_offset(type, member) / 8 != offsetof(struct bpf_oom_ops, name))
		return 0;
	if (strscpy_pad(to->name, from->name) <= 0)
		return -EINVAL;
	return 1;
}

static int bpf_oom_ops_reg(void *kdata, struct bpf_link *link)
{
	return -EOPNOTSUPP;
}

static void bpf_oom_ops_unreg(void *kdata, struct bpf_link *link)
{
}

static bool bpf_oom_ops_is_valid_access(int off, int size, enum bpf_access_type type,
					const struct bpf_prog *prog,
					struct bpf_insn_access_aux *info)
{
	return bpf_tracing_btf_ctx_access(off, size, type, prog, info);
}

static const struct bpf_verifier_ops bpf_oom_verifier_ops = {
	.get_func_proto = bpf_base_func_proto,
	.is_valid_access = bpf_oom_ops_is_valid_access,
};

static int bpf_oom_ops__handle_out_of_memory(struct oom_control *oc,
					     struct bpf_struct_ops_link *link)
{
	return 0;
}

static struct bpf_oom_ops bpf_oom_ops_stubs = {
	.handle_out_of_memory = bpf_oom_ops__handle_out_of_memory,
};

static struct bpf_struct_ops bpf_oom_struct_ops = {
	.verifier_ops = &bpf_oom_verifier_ops,
	.init = bpf_oom_ops_init,
	.check_member = bpf_oom_ops_check_member,
	.init_member = bpf_oom_ops_init_member,
	.reg = bpf_oom_ops_reg,
	.unreg = bpf_oom_ops_unreg,
	.cfi_stubs = &bpf_oom_ops_stubs,
	.owner = THIS_MODULE,
	.name = "bpf_oom_ops",
};

/* The verifier shows a handler to check_member() before it looks at its calls. */
static bool is_oom_handler(const struct bpf_prog *prog)
{
	const struct btf_type *type = READ_ONCE(bpf_oom_ops_type);

	return prog->type == BPF_PROG_TYPE_STRUCT_OPS && type &&
	       btf_type_by_id(prog->aux->attach_btf, prog->aux->attach_btf_id) == type;
}

/*
 * A filter is asked about every kfunc in the same BTF and hook: built in, that
 * is most of the kernel's. A module owns its BTF, and the ids in it may have
 * been relocated on load (btf_relocate_id()), so its set does not tell.
 */
static int bpf_oom_filter(const struct bpf_prog *prog, u32 kfunc_id)
{
	if (!__is_defined(MODULE) &&
	    !btf_id_set8_contains(&bpf_oom_kfuncs, kfunc_id))
		return 0;

	if (is_oom_handler(prog))
		return -EACCES;

	return prog->type == BPF_PROG_TYPE_TRACING ? -EACCES : 0;
}

static const struct btf_kfunc_id_set bpf_oom_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &bpf_oom_kfuncs,
	.filter = bpf_oom_filter,
};

#ifdef PROVIDE_MEMCG_ACCESSORS
/* What the filter took from tracing programs along with the kfunc. */
BTF_KFUNCS_START(bpf_oom_accessors)
BTF_ID_FLAGS(func, bpf_get_mem_cgroup, KF_ACQUIRE | KF_RET_NULL | KF_RCU)
BTF_ID_FLAGS(func, bpf_put_mem_cgroup, KF_RELEASE)
BTF_KFUNCS_END(bpf_oom_accessors)

static const struct btf_kfunc_id_set bpf_oom_accessor_set = {
	.owner = THIS_MODULE,
	.set = &bpf_oom_accessors,
};

static int __init register_accessors(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_TRACING, &bpf_oom_accessor_set);
}
#else
static int __init register_accessors(void)
{
	return 0;
}
#endif

#ifdef MODULE
static unsigned long __init find_symbol(const char *name)
{
	unsigned long address = static_call(bpf_oom_lookup)(name);

	if (!address)
		pr_err("this kernel has no symbol %s (CONFIG_KALLSYMS_ALL?)\n", name);
	return address;
}

static int __init find_symbols(void)
{
	static struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long address;
	int err;

	err = register_kprobe(&probe);
	if (err) {
		pr_err("no kprobe on %s: %d\n", probe.symbol_name, err);
		return err;
	}
	/* The probe sits behind ENDBR: arch_adjust_kprobe_addr(). */
	address = ALIGN_DOWN((unsigned long)probe.addr, CONFIG_FUNCTION_ALIGNMENT);
	unregister_kprobe(&probe);
	static_call_update(bpf_oom_lookup, (void *)address);

	lock = (void *)find_symbol("oom_lock");
	address = find_symbol("out_of_memory");
	if (!lock || !address)
		return -ENOENT;
	static_call_update(bpf_oom_kill, (void *)address);
	return 0;
}

/* Without an exit function the kernel would not unload it. */
static void __exit bpf_oom_exit(void)
{
}
module_exit(bpf_oom_exit);
#else
static int __init find_symbols(void)
{
	return 0;
}
#endif

static int __init bpf_oom_init(void)
{
	return find_symbols() ?:
	       register_bpf_struct_ops(&bpf_oom_struct_ops, bpf_oom_ops) ?:
	       register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &bpf_oom_kfunc_set) ?:
	       register_accessors();
}
late_initcall(bpf_oom_init);

MODULE_DESCRIPTION("bpf_out_of_memory(), a test vehicle for the proposed kfunc");
MODULE_LICENSE("GPL");

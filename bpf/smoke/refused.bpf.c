// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that call bpf_out_of_memory() where or how they must not, and some that may. Each is
 * loaded alone, and never run: oomctl/smoke/cases/loadtime.py has the expected results.
 */
#include "../kernel.h"

char _license[] SEC("license") = "GPL";

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;

#define ON_NOTHING ((struct mem_cgroup *)0)

struct bpf_spin_lock {
	__u32 val;
};

struct task_struct___charging {
	struct mem_cgroup *active_memcg;
} __co_re;

struct late {
	struct bpf_spin_lock lock;
	int value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct late);
} lates SEC(".maps");

/* A program of a type that does nothing but call it with literal arguments. */
#define CALLER(name, section)                                                                      \
	SEC(section)                                                                               \
	int name(void *ctx __attribute__((unused)))                                                \
	{                                                                                          \
		return bpf_out_of_memory(ON_NOTHING, 0, 0) & 0;                                    \
	}

CALLER(may_syscall, "syscall")
CALLER(may_lsm, "lsm.s/file_open")
CALLER(may_uprobe, "uprobe.s")
CALLER(may_uretprobe, "uretprobe.s")

CALLER(from_fentry, "fentry/out_of_memory")
CALLER(from_fentry_sleepable, "fentry.s/bpf_fentry_test1")
CALLER(from_fexit, "fexit/out_of_memory")
CALLER(from_fmod_ret, "fmod_ret/bpf_modify_return_test")
CALLER(from_tp_btf, "tp_btf/mark_victim")
CALLER(from_iter, "iter/task")
CALLER(from_iter_sleepable, "iter.s/task")

CALLER(from_lsm, "lsm/file_open")
CALLER(from_kprobe, "kprobe")
CALLER(from_uprobe, "uprobe")
CALLER(from_tracepoint, "tracepoint")
CALLER(from_raw_tracepoint, "raw_tracepoint")
CALLER(from_socket, "socket")
CALLER(from_tc, "tc")
CALLER(from_xdp, "xdp")
CALLER(from_cgroup_skb, "cgroup_skb/egress")

SEC("syscall")
int in_rcu(void *ctx __attribute__((unused)))
{
	bpf_rcu_read_lock();
	bpf_out_of_memory(ON_NOTHING, 0, 0);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall")
int not_preemptible(void *ctx __attribute__((unused)))
{
	bpf_preempt_disable();
	bpf_out_of_memory(ON_NOTHING, 0, 0);
	bpf_preempt_enable();
	return 0;
}

SEC("syscall")
int irqs_off(void *ctx __attribute__((unused)))
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	bpf_out_of_memory(ON_NOTHING, 0, 0);
	bpf_local_irq_restore(&flags);
	return 0;
}

SEC("syscall")
int lock_held(void *ctx __attribute__((unused)))
{
	__u32 slot = 0;
	struct late *late = bpf_map_lookup_elem(&lates, &slot);

	if (!late)
		return 0;
	bpf_spin_lock(&late->lock);
	bpf_out_of_memory(ON_NOTHING, 0, 0);
	bpf_spin_unlock(&late->lock);
	return 0;
}

SEC("syscall")
int unchecked_memcg(u64 *id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(*id);
	struct mem_cgroup *memcg;

	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	bpf_out_of_memory(memcg, 0, 0);
	if (memcg)
		bpf_put_mem_cgroup(memcg);
	bpf_cgroup_release(cgrp);
	return 0;
}

SEC("syscall")
int cgroup_for_memcg(u64 *id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(*id);

	if (!cgrp)
		return 0;
	bpf_out_of_memory((void *)cgrp, 0, 0);
	bpf_cgroup_release(cgrp);
	return 0;
}

SEC("syscall")
int number_for_memcg(u64 *id)
{
	bpf_out_of_memory((void *)*id, 0, 0);
	return 0;
}

SEC("syscall")
int stack_for_memcg(void *ctx __attribute__((unused)))
{
	u64 words[4] = {};

	bpf_out_of_memory((void *)words, 0, 0);
	return 0;
}

SEC("syscall")
int untrusted_memcg(void *ctx __attribute__((unused)))
{
	struct task_struct___charging *task = (void *)bpf_get_current_task_btf();

	bpf_out_of_memory(task->active_memcg, 0, 0);
	return 0;
}

SEC("syscall")
int missing_put(u64 *id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(*id);
	struct mem_cgroup *memcg;

	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (memcg)
		bpf_out_of_memory(memcg, 0, 0);
	bpf_cgroup_release(cgrp);
	return 0;
}

SEC("syscall")
int missing_release(u64 *id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(*id);
	struct mem_cgroup *memcg;

	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (memcg) {
		bpf_out_of_memory(memcg, 0, 0);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

SEC("syscall")
int after_put(u64 *id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(*id);
	struct mem_cgroup *memcg;

	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (memcg) {
		bpf_put_mem_cgroup(memcg);
		bpf_out_of_memory(memcg, 0, 0);
	}
	bpf_cgroup_release(cgrp);
	return 0;
}

/* As oomctl's own program does it. */
SEC("syscall")
int may_checked_memcg(u64 *id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(*id);
	struct mem_cgroup *memcg;

	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (memcg) {
		bpf_out_of_memory(memcg, 0, 0);
		bpf_put_mem_cgroup(memcg);
	}
	bpf_cgroup_release(cgrp);
	return 0;
}

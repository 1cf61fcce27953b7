// SPDX-License-Identifier: GPL-2.0-only
/*
 * Declares OOM on a memory cgroup after its removal: the program takes a reference while the cgroup
 * exists, and waits until user space has removed it.
 */
#include "../kernel.h"
#include "removed_memcg.h"

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oomctl_removed_memcg);
} removed_memcgs SEC(".maps");

static __always_inline struct oomctl_removed_memcg *the_slot(void)
{
	__u32 slot = 0;

	return bpf_map_lookup_elem(&removed_memcgs, &slot);
}

static __always_inline int over(struct oomctl_removed_memcg *removed)
{
	return *(volatile __u32 *)&removed->removed || bpf_ktime_get_ns() >= removed->until_ns;
}

static long wait(__u32 turn __attribute__((unused)), void *none __attribute__((unused)))
{
	struct oomctl_removed_memcg *removed = the_slot();

	return !removed || over(removed);
}

SEC("syscall")
int declare_on_removed(struct oomctl_removal *call)
{
	struct oomctl_removed_memcg *removed = the_slot();
	struct mem_cgroup *memcg;
	struct cgroup *cgrp;
	int i;

	if (!removed)
		return 0;
	cgrp = bpf_cgroup_from_id(call->cgroup_id);
	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	bpf_cgroup_release(cgrp);
	if (!memcg)
		return 0;
	removed->taken = 1;
	for (i = 0; i < 64 && !over(removed); i++)
		bpf_loop(1 << 23, wait, (void *)0, 0);
	if (removed->removed) {
		removed->ret = bpf_out_of_memory(memcg, 0, 1);
		removed->called = 1;
	}
	bpf_put_mem_cgroup(memcg);
	return 0;
}

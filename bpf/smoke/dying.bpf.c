// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes a memory cgroup while it is there, and declares OOM on it only once it was removed: the
 * program keeps its reference meanwhile, and waits for the word that the cgroup is gone.
 */
#include "../kernel.h"
#include "dying.h"

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oomctl_funeral);
} funerals SEC(".maps");

static __always_inline struct oomctl_funeral *the_funeral(void)
{
	__u32 slot = 0;

	return bpf_map_lookup_elem(&funerals, &slot);
}

static __always_inline int over(struct oomctl_funeral *funeral)
{
	return *(volatile __u32 *)&funeral->removed || bpf_ktime_get_ns() >= funeral->until_ns;
}

static long wait(__u32 turn __attribute__((unused)), void *none __attribute__((unused)))
{
	struct oomctl_funeral *funeral = the_funeral();

	return !funeral || over(funeral);
}

SEC("syscall")
int declare_late(struct oomctl_late *call)
{
	struct oomctl_funeral *funeral = the_funeral();
	struct mem_cgroup *memcg;
	struct cgroup *cgrp;
	int i;

	if (!funeral)
		return 0;
	cgrp = bpf_cgroup_from_id(call->cgroup_id);
	if (!cgrp)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	bpf_cgroup_release(cgrp);
	if (!memcg)
		return 0;
	funeral->taken = 1;
	for (i = 0; i < 64 && !over(funeral); i++)
		bpf_loop(1 << 23, wait, (void *)0, 0);
	if (funeral->removed) {
		funeral->ret = bpf_out_of_memory(memcg, 0, 1);
		funeral->called = 1;
	}
	bpf_put_mem_cgroup(memcg);
	return 0;
}

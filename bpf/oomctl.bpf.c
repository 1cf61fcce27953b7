// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program behind `oomctl declare`. It runs in the task that calls BPF_PROG_TEST_RUN, and
 * leaves its answer in a map, because that task may be dead before it is back in user space.
 * Each of several callers at once has a slot of its own.
 */
#include "kernel.h"
#include "oomctl.h"

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OOMCTL_MAX_CALLERS);
	__type(key, __u32);
	__type(value, struct oomctl_answer);
} answers SEC(".maps");

static __always_inline void ask(struct oomctl_answer *answer, struct mem_cgroup *memcg,
				const struct oomctl_call *call)
{
	answer->stage = OOMCTL_CALLED;
	answer->began_ns = bpf_ktime_get_ns();
	answer->ret = bpf_out_of_memory(memcg, call->order, call->flags);
	answer->ended_ns = bpf_ktime_get_ns();
}

SEC("syscall")
int declare(struct oomctl_call *call)
{
	struct oomctl_answer *answer;
	struct mem_cgroup *memcg;
	struct cgroup *cgrp;
	__u32 slot = call->slot;

	answer = bpf_map_lookup_elem(&answers, &slot);
	if (!answer)
		return 0;

	if (call->global) {
		ask(answer, (void *)0, call);
		return 0;
	}

	cgrp = bpf_cgroup_from_id(call->cgroup_id);
	if (!cgrp) {
		answer->stage = OOMCTL_NO_CGROUP;
		return 0;
	}
	if (cgrp->level == 0) {
		answer->stage = OOMCTL_ROOT;
		goto release;
	}
	/* NULL must not fall through: it would declare a system-wide OOM. */
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (!memcg) {
		answer->stage = OOMCTL_NO_MEMCG;
		goto release;
	}
	ask(answer, memcg, call);
	bpf_put_mem_cgroup(memcg);
release:
	bpf_cgroup_release(cgrp);
	return 0;
}

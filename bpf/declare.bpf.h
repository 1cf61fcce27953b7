/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a caller does in every context: find the memcg, call the kfunc, leave the result in a map,
 * because the task may be killed before it returns to user space. Each of several simultaneous
 * callers has its own slot.
 */
#ifndef OOMCTL_DECLARE_BPF_H
#define OOMCTL_DECLARE_BPF_H

#include "kernel.h"
#include "declare.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OOMCTL_MAX_CALLERS);
	__type(key, __u32);
	__type(value, struct oomctl_call_result);
} call_results SEC(".maps");

static __always_inline void call_kfunc(struct oomctl_call_result *result,
				       struct mem_cgroup *memcg, const struct oomctl_call *call)
{
	result->stage = OOMCTL_CALLED;
	result->began_ns = bpf_ktime_get_ns();
	result->ret = bpf_out_of_memory(memcg, call->order, call->flags);
	result->ended_ns = bpf_ktime_get_ns();
}

static __always_inline void declare_oom(const struct oomctl_call *call)
{
	struct oomctl_call_result *result;
	struct mem_cgroup *memcg;
	struct cgroup *cgrp;
	__u32 slot = call->slot;

	result = bpf_map_lookup_elem(&call_results, &slot);
	if (!result)
		return;

	if (call->global) {
		call_kfunc(result, (void *)0, call);
		return;
	}

	cgrp = bpf_cgroup_from_id(call->cgroup_id);
	if (!cgrp) {
		result->stage = OOMCTL_NO_CGROUP;
		return;
	}
	if (cgrp->level == 0) {
		result->stage = OOMCTL_ROOT;
		goto release;
	}
	/* NULL must not fall through: it would declare a system-wide OOM. */
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (!memcg) {
		result->stage = OOMCTL_NO_MEMCG;
		goto release;
	}
	call_kfunc(result, memcg, call);
	bpf_put_mem_cgroup(memcg);
release:
	bpf_cgroup_release(cgrp);
}

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A call in task work, as the series' own test makes it: the program schedules a callback, which
 * the kernel runs in the same task before that returns to user space.
 */
#include "declare.bpf.h"

char _license[] SEC("license") = "GPL";

struct scheduled {
	struct oomctl_call call;
	struct bpf_task_work work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OOMCTL_MAX_CALLERS);
	__type(key, __u32);
	__type(value, struct scheduled);
} scheduled_calls SEC(".maps");

static int in_task_work(struct bpf_map *map, void *key, void *value)
{
	struct scheduled *scheduled = value;
	struct oomctl_call call = scheduled->call;

	(void)map, (void)key;
	declare_oom(&call);
	return 0;
}

SEC("syscall")
int declare(struct oomctl_call *call)
{
	struct oomctl_call_result *result;
	struct scheduled *scheduled;
	__u32 slot = call->slot;

	result = bpf_map_lookup_elem(&call_results, &slot);
	scheduled = bpf_map_lookup_elem(&scheduled_calls, &slot);
	if (!result || !scheduled)
		return 0;
	scheduled->call = *call;
	result->ret = bpf_task_work_schedule_signal(bpf_get_current_task_btf(), &scheduled->work,
						    &scheduled_calls, in_task_work);
	if (result->ret)
		result->stage = OOMCTL_NOT_SCHEDULED;
	return 0;
}

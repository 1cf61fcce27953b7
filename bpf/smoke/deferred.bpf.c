// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that schedule a call of bpf_out_of_memory() in task work. Each is loaded alone, and never
 * run: oomctl/smoke/cases/loadtime.py has the expected results.
 */
#include "../kernel.h"

char _license[] SEC("license") = "GPL";

struct scheduled {
	struct bpf_task_work work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scheduled);
} works SEC(".maps");

static int call_it(struct bpf_map *map, void *key, void *value)
{
	(void)map, (void)key, (void)value;
	return bpf_out_of_memory((struct mem_cgroup *)0, 0, 0) & 0;
}

#define SCHEDULER(name, section)                                                                   \
	SEC(section)                                                                               \
	int name(void *ctx __attribute__((unused)))                                                \
	{                                                                                          \
		struct scheduled *scheduled;                                                       \
		__u32 key = 0;                                                                     \
                                                                                                   \
		scheduled = bpf_map_lookup_elem(&works, &key);                                     \
		if (scheduled)                                                                     \
			bpf_task_work_schedule_signal(bpf_get_current_task_btf(),                  \
						      &scheduled->work, &works, call_it);          \
		return 0;                                                                          \
	}

SCHEDULER(may_task_work, "syscall")
SCHEDULER(may_psi_task_work, "tp_btf/psi_avgs_work")
SCHEDULER(from_tracing_task_work, "tp_btf/mark_victim")

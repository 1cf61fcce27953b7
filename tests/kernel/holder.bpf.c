// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps oom_lock held on purpose: whoever enters out_of_memory() next spins there until it is
 * released, or until `until_ns`.
 * The lock is taken before that function, so nobody else gets it meanwhile.
 */
#include "kernel.h"

char _license[] SEC("license") = "GPL";

struct hold {
	__u64 for_ns; /* set before; 0: do not hold */
	__u64 until_ns;
	__u64 released;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hold);
} holds SEC(".maps");

static long spin(__u32 turn, __u64 *until_ns)
{
	__u32 slot = 0;
	struct hold *hold = bpf_map_lookup_elem(&holds, &slot);

	return !hold || hold->released || bpf_ktime_get_ns() >= *until_ns;
}

SEC("fentry/out_of_memory")
int hold(void *ctx)
{
	__u32 slot = 0;
	struct hold *hold = bpf_map_lookup_elem(&holds, &slot);
	__u64 until_ns;
	int i;

	if (!hold || !hold->for_ns)
		return 0;
	until_ns = bpf_ktime_get_ns() + hold->for_ns;
	hold->for_ns = 0;
	hold->until_ns = until_ns;
	/* One bpf_loop() makes at most 1 << 23 turns, which is over too soon on a fast machine. */
	for (i = 0; i < 64 && !hold->released && bpf_ktime_get_ns() < until_ns; i++)
		bpf_loop(1 << 23, spin, &until_ns, 0);
	return 0;
}

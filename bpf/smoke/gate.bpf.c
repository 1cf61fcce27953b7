// SPDX-License-Identifier: GPL-2.0-only
/*
 * A gate at the entry of out_of_memory(). It records the arguments, and can be shut for one process,
 * which then spins in it until the gate is opened or `most_ns` are over. That process holds oom_lock:
 * all other callers contend for it.
 *
 * While it spins no RCU grace period ends: no program can be attached or detached then, and no
 * process can change its cgroup.
 */
#include "../kernel.h"
#include "gate.h"

char _license[] SEC("license") = "GPL";

struct oom_control___given {
	void *zonelist;
	void *nodemask;
	struct mem_cgroup *memcg;
	unsigned int gfp_mask;
	int order;
	unsigned long totalpages;
	long chosen_points;
} __co_re;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OOMCTL_PASSAGES);
	__type(key, __u32);
	__type(value, struct oomctl_passage);
} passages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oomctl_gate);
} gates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oomctl_gate_log);
} logs SEC(".maps");

static __always_inline void *first_of(void *map)
{
	__u32 slot = 0;

	return bpf_map_lookup_elem(map, &slot);
}

static __always_inline int over(struct oomctl_gate *gate, __u64 until_ns)
{
	return *(volatile __u32 *)&gate->opened || bpf_ktime_get_ns() >= until_ns;
}

static long spin(__u32 turn __attribute__((unused)), __u64 *until_ns)
{
	struct oomctl_gate *gate = first_of(&gates);

	return !gate || over(gate, *until_ns);
}

static __always_inline void hold(struct oomctl_gate *gate, struct oomctl_gate_log *log)
{
	__u64 now = bpf_ktime_get_ns(), until_ns = now + gate->most_ns;
	int i;

	log->left_ns = 0;
	log->entered_ns = now;
	/* One bpf_loop() makes at most 1 << 23 turns, too few on a fast machine. */
	for (i = 0; i < 64 && !over(gate, until_ns); i++)
		bpf_loop(1 << 23, spin, &until_ns, 0);
	log->left_ns = bpf_ktime_get_ns();
}

SEC("fentry/out_of_memory")
int enter(__u64 *ctx)
{
	struct oom_control___given *given = (void *)ctx[0];
	struct oomctl_gate *gate = first_of(&gates);
	struct oomctl_gate_log *log = first_of(&logs);
	__u64 id = bpf_get_current_pid_tgid();
	struct oomctl_passage *passage;
	struct mem_cgroup *memcg;
	__u32 slot;

	if (!gate || !log)
		return 0;
	/* oom_lock allows one run at a time. */
	slot = log->passages % OOMCTL_PASSAGES;
	passage = bpf_map_lookup_elem(&passages, &slot);
	if (!passage)
		return 0;
	__builtin_memset(passage, 0, sizeof(*passage));
	memcg = BPF_CORE_READ(given, memcg);
	passage->memcg_id = memcg ? BPF_CORE_READ(memcg, css.cgroup, kn, id) : 0;
	passage->zonelist = (__u64)BPF_CORE_READ(given, zonelist);
	passage->nodemask = (__u64)BPF_CORE_READ(given, nodemask);
	passage->totalpages_before = BPF_CORE_READ(given, totalpages);
	passage->gfp_mask = BPF_CORE_READ(given, gfp_mask);
	passage->order = BPF_CORE_READ(given, order);
	passage->tid = (__u32)id;
	log->passages++;
	if (gate->shut_for && gate->shut_for == id >> 32)
		hold(gate, log);
	return 0;
}

SEC("fexit/out_of_memory")
int leave(__u64 *ctx)
{
	struct oom_control___given *given = (void *)ctx[0];
	struct oomctl_gate_log *log = first_of(&logs);
	struct oomctl_passage *passage;
	__u32 slot;

	if (!log)
		return 0;
	slot = (log->passages - 1) % OOMCTL_PASSAGES;
	passage = bpf_map_lookup_elem(&passages, &slot);
	if (!passage || passage->tid != (__s32)bpf_get_current_pid_tgid())
		return 0;
	passage->totalpages = BPF_CORE_READ(given, totalpages);
	passage->points = BPF_CORE_READ(given, chosen_points);
	return 0;
}

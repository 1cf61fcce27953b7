// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that watch the OOM killer: the task that ran it, its victims, and their end.
 * They change nothing. observer.py does not load those whose function or tracepoint is missing.
 */
#include "kernel.h"
#include "observer.h"

char _license[] SEC("license") = "GPL";

#define SIGKILL 9
#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */
#define TERMSIG 0x7f
#define SYSRQ_ORDER -1
#define AT_ONCE_NS 100000000

/* enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES }, include/linux/mm_types_task.h */
#define FILE_PAGES 0
#define ANON_PAGES 1
#define SHMEM_PAGES 3

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oomctl_fired);
} fired SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 19);
} paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oomctl_base);
} base SEC(".maps");

/* Cgroups whose path is in `paths` or has been read from it. observer.py keeps more of them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} told SEC(".maps");

struct walk {
	struct kernfs_node *node; /* whose name is next */
	__u32 end;                /* of the names so far */
	struct oomctl_path path;
};

/* Where a path is put together: oom_lock is held then, so one task at a time does it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} scratch SEC(".maps");

struct run {
	struct oom_control *oc;
	__u32 reported, has_victim;
};

/* The run through out_of_memory() that a task is in, by tid; oom_lock allows one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct run);
} inside SEC(".maps");

struct idle_run {
	__u64 ended_ns;
	__u64 started_ns;
	struct mem_cgroup *memcg;
};

/* The last run of a task, if it had no victim, by tid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct idle_run);
} idle SEC(".maps");

struct process {
	__u64 started_ns;
	__u64 tgid;
};

/* Processes whose end was reported: two last threads may both find that no other lives. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process);
	__type(value, __u32);
} ended SEC(".maps");

/* Never set: without it clang omits the struct from the object's BTF, which a test reads. */
const struct oomctl_event *described __attribute__((unused));
const struct oomctl_path *path_described __attribute__((unused));

#define DEEPEST 128

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *node)
{
	struct kernfs_node___plain_parent *plain = (void *)node;

	if (bpf_core_field_exists(plain->parent))
		return BPF_CORE_READ(plain, parent);
	return BPF_CORE_READ(node, __parent);
}

/* The id of a cgroup; ids of the default hierarchy, which is the first, are as user space has them. */
static __always_inline __u64 id_of(struct cgroup *cgroup)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);

	return BPF_CORE_READ(cgroup, root, hierarchy_id) ? id | OOMCTL_V1 : id;
}

/*
 * Append the name of a walk's node to its path and go to the parent; 0 if there is none to append.
 *
 * Not static: the verifier goes through a global function once in a program, through a static one
 * at each of the 128 steps.
 */
__noinline int climb(void)
{
	__u32 slot = 0;
	struct walk *walk = bpf_map_lookup_elem(&scratch, &slot);
	struct oomctl_base *from = bpf_map_lookup_elem(&base, &slot);
	struct kernfs_node *node;
	__u32 end;
	long size;

	if (!walk || !from)
		return 0;
	node = walk->node;
	end = walk->end;
	if (!node || end > OOMCTL_PATH_MAX || BPF_CORE_READ(node, id) == from->cgroup_id)
		return 0;
	size = bpf_probe_read_kernel_str(walk->path.names + end, OOMCTL_NAME_SIZE,
					 BPF_CORE_READ(node, name));
	if (size <= 0 || size > OOMCTL_NAME_SIZE)
		return 0;
	walk->end = end + size;
	walk->node = parent_of(node);
	return 1;
}

/*
 * Tell the path of a cgroup unless it was told before. A removed cgroup keeps its names as long as a
 * task or a memcg refers to it, and cgroup v2 renames none (kernel/cgroup/cgroup.c,
 * cgroup_kf_syscall_ops). Nothing is told of a cgroup outside the base, too deep or with too long a
 * path.
 *
 * Global for the same reason as climb(). A global function cannot take a pointer to an object of the
 * kernel, so it takes the address as a number.
 */
__noinline int tell_path(__u64 address)
{
	struct cgroup *cgroup = (void *)address;
	__u32 slot = 0, one = 1, end;
	__u64 id = id_of(cgroup);
	struct kernfs_node *node;
	struct oomctl_base *from;
	struct walk *walk;
	int i;

	if (bpf_map_lookup_elem(&told, &id))
		return 0;
	walk = bpf_map_lookup_elem(&scratch, &slot);
	from = bpf_map_lookup_elem(&base, &slot);
	if (!walk || !from || (id & OOMCTL_V1 && from->cgroup_id != 1))
		return 0;
	walk->path.cgroup_id = id;
	walk->node = BPF_CORE_READ(cgroup, kn);
	walk->end = 0;
	for (i = 0; i < DEEPEST && climb(); i++)
		;
	node = walk->node;
	end = walk->end;
	if (end > OOMCTL_PATH_MAX || !node || BPF_CORE_READ(node, id) != from->cgroup_id)
		return 0;
	if (!bpf_ringbuf_output(&paths, &walk->path, sizeof(walk->path.cgroup_id) + end, 0))
		bpf_map_update_elem(&told, &id, &one, BPF_ANY);
	return 0;
}

static __always_inline struct oomctl_event *reserve(enum oomctl_event_kind kind)
{
	struct oomctl_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	__u32 slot = 0;
	__u64 *lost;

	if (!event) {
		lost = bpf_map_lookup_elem(&losses, &slot);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return (void *)0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->at_ns = bpf_ktime_get_ns();
	event->kind = kind;
	return event;
}

/* Count a run of the program; a macro, since the member is named like the program. */
#define ENTERED(program)                                                                           \
	do {                                                                                       \
		__u32 slot = 0;                                                                    \
		struct oomctl_fired *entries = bpf_map_lookup_elem(&fired, &slot);                 \
                                                                                                   \
		if (entries)                                                                       \
			__sync_fetch_and_add(&entries->program, 1);                                \
	} while (0)

/*
 * A macro: only a constant index is relocated with the stride of the kernel's array. It tests a
 * field, not a type: for a type that vmlinux lacks, libbpf searches the BTF of all modules, which
 * needs CAP_SYS_ADMIN.
 */
#define COUNTER(mm, member)                                                                        \
	(bpf_core_field_exists(((struct mm_struct___counted_by_thread *)(mm))->rss_stat.count)     \
		 ? BPF_CORE_READ((struct mm_struct___counted_by_thread *)(mm),                     \
				 rss_stat.count[member].counter)                                   \
		 : BPF_CORE_READ(mm, rss_stat[member].count))

static __always_inline void put_memory(struct oomctl_event *event, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	if (!mm)
		mm = BPF_CORE_READ(task, signal, oom_mm);
	if (!mm)
		return;
	event->anon = COUNTER(mm, ANON_PAGES);
	event->file = COUNTER(mm, FILE_PAGES);
	event->shmem = COUNTER(mm, SHMEM_PAGES);
}

static __always_inline void put_task(struct oomctl_event *event, struct task_struct *task)
{
	event->pid = BPF_CORE_READ(task, pid);
	event->tgid = BPF_CORE_READ(task, tgid);
	event->cgroup_id = id_of(BPF_CORE_READ(task, cgroups, dfl_cgrp));
	event->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	BPF_CORE_READ_INTO(&event->comm, task, comm);
}

static __always_inline void put_trigger(struct oomctl_event *event)
{
	event->invoker_pid = (__u32)bpf_get_current_pid_tgid();
	bpf_get_current_comm(event->invoker_comm, sizeof(event->invoker_comm));
}

static __always_inline void put_control(struct oomctl_event *event, struct oom_control *oc)
{
	struct mem_cgroup *memcg = BPF_CORE_READ(oc, memcg);

	event->order = BPF_CORE_READ(oc, order);
	event->constraint = BPF_CORE_READ(oc, constraint);
	if (!memcg)
		return;
	event->memcg_id = id_of(BPF_CORE_READ(memcg, css.cgroup));
	event->memcg_usage = BPF_CORE_READ(memcg, memory.usage.counter);
	event->memcg_max = BPF_CORE_READ(memcg, memory.max);
	event->swap_usage = BPF_CORE_READ(memcg, swap.usage.counter);
	event->swap_max = BPF_CORE_READ(memcg, swap.max);
}

/*
 * The reports are global functions, so that libbpf relocates each once, and not once for each
 * program: relocation takes longer than verification. Like tell_path() they take addresses; see
 * argument().
 */
__noinline int report_control(enum oomctl_event_kind kind, __u64 address)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	struct oom_control *oc = (void *)address;
	struct mem_cgroup *memcg = BPF_CORE_READ(oc, memcg);
	struct oomctl_event *event;

	tell_path((__u64)BPF_CORE_READ(current, cgroups, dfl_cgrp));
	if (memcg)
		tell_path((__u64)BPF_CORE_READ(memcg, css.cgroup));
	event = reserve(kind);
	if (!event)
		return 0;
	put_task(event, current);
	put_memory(event, current);
	put_trigger(event);
	put_control(event, oc);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

__noinline int report_victim(enum oomctl_event_kind kind, __u64 address)
{
	struct task_struct *task = (void *)address;
	struct oomctl_event *event;

	tell_path((__u64)BPF_CORE_READ(task, cgroups, dfl_cgrp));
	event = reserve(kind);
	if (!event)
		return 0;
	put_task(event, task);
	put_memory(event, task);
	put_trigger(event);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline void report_pid(enum oomctl_event_kind kind, int pid, int triggered)
{
	struct oomctl_event *event = reserve(kind);

	if (!event)
		return;
	event->pid = pid;
	if (triggered)
		put_trigger(event);
	bpf_ringbuf_submit(event, 0);
}

/*
 * While a victim is dying, a writer of memory.max runs the OOM killer again and again, a hundred
 * times a millisecond (mm/memcontrol.c, memory_max_write()). Of these runs only the first and those
 * with a victim are reported.
 */
static __always_inline int is_repeated(struct oom_control *oc, __u32 tid)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	struct idle_run *last = bpf_map_lookup_elem(&idle, &tid);

	return last && last->memcg == BPF_CORE_READ(oc, memcg) &&
	       last->started_ns == BPF_CORE_READ(current, start_time) &&
	       bpf_ktime_get_ns() - last->ended_ns < AT_ONCE_NS &&
	       BPF_CORE_READ(oc, order) != SYSRQ_ORDER;
}

/* Record a victim for the run that the current task is in; NULL if it is in none. */
static __always_inline struct run *victim_of_run(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct run *run = bpf_map_lookup_elem(&inside, &tid);

	if (run && !run->reported)
		report_control(OOMCTL_OOM_BEGIN, (__u64)run->oc);
	if (run)
		run->reported = run->has_victim = 1;
	return run;
}

/* An argument of a program as a number, for a global function: a pointer the verifier refuses. */
static __always_inline __u64 argument(__u64 *ctx, int number)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + number);
	return value;
}

SEC("fentry/out_of_memory")
int oom_begin(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct run run = { .oc = (void *)argument(ctx, 0) };

	ENTERED(oom_begin);
	run.reported = !is_repeated(run.oc, tid);
	if (run.reported)
		report_control(OOMCTL_OOM_BEGIN, (__u64)run.oc);
	bpf_map_update_elem(&inside, &tid, &run, BPF_ANY);
	return 0;
}

SEC("fexit/out_of_memory")
int oom_end(__u64 *ctx)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	__u32 tid = bpf_get_current_pid_tgid();
	struct run *run = bpf_map_lookup_elem(&inside, &tid);
	struct oom_control *oc = (void *)argument(ctx, 0);
	struct idle_run last = {
		.ended_ns = bpf_ktime_get_ns(),
		.started_ns = BPF_CORE_READ(current, start_time),
		.memcg = BPF_CORE_READ(oc, memcg),
	};

	ENTERED(oom_end);
	if (!run || run->reported)
		report_control(OOMCTL_OOM_END, (__u64)oc);
	if (run && !run->has_victim)
		bpf_map_update_elem(&idle, &tid, &last, BPF_ANY);
	else
		bpf_map_delete_elem(&idle, &tid);
	bpf_map_delete_elem(&inside, &tid);
	return 0;
}

/* (int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result) */
SEC("tp_btf/signal_generate")
int sigkill(__u64 *ctx)
{
	ENTERED(sigkill);
	if ((int)ctx[0] == SIGKILL && victim_of_run())
		report_victim(OOMCTL_SIGKILL, argument(ctx, 2));
	return 0;
}

SEC("tp_btf/mark_victim")
int mark_victim(__u64 *ctx)
{
	ENTERED(mark_victim);
	victim_of_run();
	report_victim(OOMCTL_MARK_VICTIM, argument(ctx, 0));
	return 0;
}

/* Before 72ba14deb40a ("mm: Update mark_victim tracepoints fields"). */
SEC("tp_btf/mark_victim")
int mark_victim_pid(__u64 *ctx)
{
	ENTERED(mark_victim_pid);
	victim_of_run();
	report_pid(OOMCTL_MARK_VICTIM, ctx[0], 1);
	return 0;
}

SEC("tp_btf/wake_reaper")
int wake_reaper(__u64 *ctx)
{
	ENTERED(wake_reaper);
	report_pid(OOMCTL_WAKE_REAPER, ctx[0], 0);
	return 0;
}

SEC("tp_btf/start_task_reaping")
int start_reaping(__u64 *ctx)
{
	ENTERED(start_reaping);
	report_pid(OOMCTL_START_REAPING, ctx[0], 0);
	return 0;
}

SEC("tp_btf/finish_task_reaping")
int finish_reaping(__u64 *ctx)
{
	ENTERED(finish_reaping);
	report_pid(OOMCTL_FINISH_REAPING, ctx[0], 0);
	return 0;
}

SEC("tp_btf/skip_task_reaping")
int skip_reaping(__u64 *ctx)
{
	ENTERED(skip_reaping);
	report_pid(OOMCTL_SKIP_REAPING, ctx[0], 0);
	return 0;
}

/* Report the end of a process, once, if this is its last thread. */
__noinline int report_exit(__u64 address)
{
	struct task_struct *task = (void *)address;
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct task_struct *leader;
	struct process process;
	struct oomctl_event *event;
	__u32 one = 1;
	int code;

	if (BPF_CORE_READ(signal, live.counter))
		return 0;
	leader = BPF_CORE_READ(task, group_leader);
	code = BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT
		       ? BPF_CORE_READ(signal, group_exit_code)
		       : BPF_CORE_READ(leader, exit_code);
	if ((code & TERMSIG) != SIGKILL && !BPF_CORE_READ(signal, oom_mm))
		return 0;
	process.started_ns = BPF_CORE_READ(leader, start_time);
	process.tgid = BPF_CORE_READ(leader, tgid);
	if (bpf_map_lookup_elem(&ended, &process))
		return 0;
	bpf_map_update_elem(&ended, &process, &one, BPF_ANY);
	event = reserve(OOMCTL_EXIT);
	if (!event)
		return 0;
	put_task(event, leader);
	event->exit_code = code;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/*
 * kernel/exit.c, do_exit() calls this after exit_mm() on every kernel; since 6.16 the tracepoint
 * sched_process_exit comes before exit_mm(). A failed fork calls it too, for a task that still
 * counts as live.
 */
SEC("fentry/exit_files")
int process_exit(__u64 *ctx)
{
	ENTERED(process_exit);
	return report_exit(argument(ctx, 0));
}

/*
 * A task preempted inside process_exit() blocks it for other tasks that exit on that CPU
 * (kernel/bpf/trampoline.c, __bpf_prog_enter_recur()). This program runs a little later, but with
 * interrupts off (kernel/exit.c, exit_notify()): it reports the exits that the first has missed.
 */
SEC("fentry/do_notify_parent")
int missed_exit(__u64 *ctx)
{
	ENTERED(missed_exit);
	return report_exit(argument(ctx, 0));
}

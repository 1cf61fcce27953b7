/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses from observer.bpf.c to oomctl/bpf/observer.py; a test compares the two. */
#ifndef OOMCTL_OBSERVER_H
#define OOMCTL_OBSERVER_H

#define OOMCTL_COMM_LEN 16
#define OOMCTL_PATH_MAX 4096
#define OOMCTL_NAME_SIZE 256

/* A flag in the id of a cgroup v1: each hierarchy numbers its own cgroups. */
#define OOMCTL_V1 (1ULL << 63)

enum oomctl_event_kind {
	OOMCTL_OOM_BEGIN = 1,
	OOMCTL_OOM_END = 2,
	OOMCTL_SIGKILL = 3,
	OOMCTL_MARK_VICTIM = 4,
	OOMCTL_WAKE_REAPER = 5,
	OOMCTL_START_REAPING = 6,
	OOMCTL_FINISH_REAPING = 7,
	OOMCTL_SKIP_REAPING = 8,
	OOMCTL_EXIT = 9,
};

/* A field without meaning for the kind is 0; tgid is 0 if the kernel passes only the pid. */
struct oomctl_event {
	__u64 at_ns; /* CLOCK_MONOTONIC */
	__u64 cgroup_id;
	__u64 memcg_id; /* cgroup id of the memcg that is out of memory; 0: the whole system */
	__s64 memcg_usage; /* pages; of memcg_id, as are the next three */
	__u64 memcg_max;
	__s64 swap_usage;
	__u64 swap_max;
	__s64 anon;     /* pages, without the part of the counters that is still per CPU */
	__s64 file;
	__s64 shmem;
	enum oomctl_event_kind kind;
	__s32 pid;
	__s32 tgid;
	__s32 invoker_pid;
	__s32 order;
	__u32 constraint; /* enum oom_constraint */
	__s32 exit_code;  /* as waitpid() gives it */
	__s32 oom_score_adj;
	char comm[OOMCTL_COMM_LEN];
	char invoker_comm[OOMCTL_COMM_LEN];
};

/* The cgroup at which paths begin: the root of the mount, 1 for that of the hierarchy. */
struct oomctl_base {
	__u64 cgroup_id;
};

/*
 * The path of a cgroup that an event names, told once: the names from the cgroup up to below the
 * base, each with a NUL byte. The record ends with the last of them.
 */
struct oomctl_path {
	__u64 cgroup_id;
	char names[OOMCTL_PATH_MAX + OOMCTL_NAME_SIZE];
};

/* How often each program has run, with or without an event; a member per program. */
struct oomctl_fired {
	__u64 oom_begin;
	__u64 oom_end;
	__u64 sigkill;
	__u64 mark_victim;
	__u64 mark_victim_pid;
	__u64 wake_reaper;
	__u64 start_reaping;
	__u64 finish_reaping;
	__u64 skip_reaping;
	__u64 process_exit;
	__u64 missed_exit;
};

#endif

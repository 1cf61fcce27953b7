/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between oomctl.bpf.c and oomctl/bpf/declare.py; a test holds the two equal. */
#ifndef OOMCTL_H
#define OOMCTL_H

#define OOMCTL_MAX_CALLERS 256

/* How far a declaration came. */
enum oomctl_stage {
	OOMCTL_NOT_RUN = 0,
	OOMCTL_NO_CGROUP = 1, /* no cgroup with that id on the default hierarchy */
	OOMCTL_ROOT = 2,      /* the root cgroup, which the OOM killer must never be given */
	OOMCTL_NO_MEMCG = 3,  /* no memory controller there, or the cgroup is dying */
	OOMCTL_CALLED = 4,    /* the kfunc was entered; it returned if ended_ns is set */
};

struct oomctl_call {
	__u64 cgroup_id;
	__u64 flags;
	__s32 order;
	__u32 global; /* not 0: NULL instead of a memcg */
	__u32 slot;   /* which answer is this caller's */
	__u32 unused;
};

struct oomctl_answer {
	__u64 began_ns; /* CLOCK_MONOTONIC */
	__u64 ended_ns;
	__s32 ret;
	enum oomctl_stage stage;
};

#endif

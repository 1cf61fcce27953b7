/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between declare.bpf.c and oomctl/bpf/declare.py; a test compares the two. */
#ifndef OOMCTL_DECLARE_H
#define OOMCTL_DECLARE_H

#define OOMCTL_MAX_CALLERS 256

/* The last stage that a call has reached. */
enum oomctl_stage {
	OOMCTL_NOT_RUN = 0,
	OOMCTL_NO_CGROUP = 1, /* no cgroup with that id on the default hierarchy */
	OOMCTL_ROOT = 2,      /* the root cgroup, on which the OOM killer must never run */
	OOMCTL_NO_MEMCG = 3,  /* no memory controller, or the cgroup is dying */
	OOMCTL_CALLED = 4,    /* the kfunc was entered; it has returned if ended_ns is set */
	OOMCTL_NOT_SCHEDULED = 5, /* task work: refused, ret says why */
};

struct oomctl_call {
	__u64 cgroup_id;
	__u64 flags;
	__s32 order;
	__u32 global; /* not 0: call with NULL */
	__u32 slot;   /* index of this caller's result */
	__u32 unused;
};

struct oomctl_call_result {
	__u64 began_ns; /* CLOCK_MONOTONIC */
	__u64 ended_ns;
	__s32 ret;
	enum oomctl_stage stage;
};

#endif

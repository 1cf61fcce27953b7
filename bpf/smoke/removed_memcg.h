/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between removed_memcg.bpf.c and oomctl/bpf/removed_memcg.py; a test compares the two. */
#ifndef OOMCTL_REMOVED_MEMCG_H
#define OOMCTL_REMOVED_MEMCG_H

struct oomctl_removal {
	__u64 cgroup_id;
};

struct oomctl_removed_memcg {
	__u64 until_ns; /* CLOCK_MONOTONIC, when the program gives up */
	__u32 taken;    /* the program has its reference: the cgroup may be removed */
	__u32 removed;  /* set by user space after the removal */
	__u32 called;
	__s32 ret;
};

#endif

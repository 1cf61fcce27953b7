/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between dying.bpf.c and oomctl/bpf/removed_memcg.py; a test holds the two equal. */
#ifndef OOMCTL_DYING_H
#define OOMCTL_DYING_H

struct oomctl_late {
	__u64 cgroup_id;
};

struct oomctl_removed_memcg {
	__u64 until_ns; /* CLOCK_MONOTONIC, when it gives up */
	__u32 taken;    /* it holds its reference: the cgroup may be removed */
	__u32 removed;  /* set by user space once it was */
	__u32 called;
	__s32 ret;
};

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between gate.bpf.c and oomctl/bpf/gate.py; a test compares the two. */
#ifndef OOMCTL_GATE_H
#define OOMCTL_GATE_H

#define OOMCTL_PASSAGES 64

/* One run through out_of_memory(): its arguments, and its results at the end. */
struct oomctl_passage {
	__u64 memcg_id; /* 0: NULL, the whole system */
	__u64 zonelist; /* pointers, of which only NULL is used */
	__u64 nodemask;
	__u64 totalpages_before;
	__u64 totalpages;
	__u64 gfp_mask;
	__s64 points; /* of the chosen task */
	__s32 order;
	__s32 tid; /* its task */
};

/* Written by user space only. */
struct oomctl_gate {
	__u64 most_ns;  /* the longest time that it is shut */
	__u32 shut_for; /* the PID of the process to stop; 0: none */
	__u32 opened;
};

/* Written by the programs only. */
struct oomctl_gate_log {
	__u64 passages; /* their number so far */
	__u64 entered_ns;
	__u64 left_ns; /* 0 while a process is stopped */
};

#endif

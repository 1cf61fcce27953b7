/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between gate.bpf.c and oomctl/bpf/gate.py; a test holds the two equal. */
#ifndef OOMCTL_GATE_H
#define OOMCTL_GATE_H

#define OOMCTL_PASSAGES 64

/* One run through out_of_memory(): what it was given, and what it had worked out at its end. */
struct oomctl_passage {
	__u64 memcg_id; /* 0: NULL, the whole system */
	__u64 zonelist; /* pointers, of which only NULL means something */
	__u64 nodemask;
	__u64 totalpages_before;
	__u64 totalpages;
	__u64 gfp_mask;
	__s64 points; /* of the chosen task */
	__s32 order;
	__s32 tid; /* who runs it */
};

/* Written by user space only. */
struct oomctl_gate {
	__u64 most_ns;  /* how long it is shut at most */
	__u32 shut_for; /* the PID of who shall stand in it; 0: nobody */
	__u32 opened;
};

/* Written by the programs only. */
struct oomctl_gate_log {
	__u64 passages; /* how many there were */
	__u64 entered_ns;
	__u64 left_ns; /* 0 while somebody stands in it */
};

#endif

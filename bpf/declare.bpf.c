// SPDX-License-Identifier: GPL-2.0-only
/* The program behind `oomctl declare`. It runs in the task that calls BPF_PROG_TEST_RUN. */
#include "declare.bpf.h"

char _license[] SEC("license") = "GPL";

SEC("syscall")
int declare(struct oomctl_call *call)
{
	declare_oom(call);
	return 0;
}

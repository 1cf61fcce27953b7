// SPDX-License-Identifier: GPL-2.0-only
/*
 * OOM handlers of the series (struct bpf_oom_ops). One runs with oom_lock held, so it must not call
 * the kfunc that takes it. bpf/struct_ops.py loads the section: a module may have the struct.
 */
#include "../kernel.h"

char _license[] SEC("license") = "GPL";

SEC("oom_handler")
int handle(void *ctx __attribute__((unused)))
{
	return bpf_out_of_memory((void *)0, 0, 0) & 0;
}

SEC("oom_handler")
int handle_nothing(void *ctx __attribute__((unused)))
{
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The OOM handler of the series (struct bpf_oom_ops): it runs with oom_lock held, so it must not
 * call the kfunc that takes it.
 */
#include "../kernel.h"

char _license[] SEC("license") = "GPL";

struct bpf_oom_ops {
	int (*handle_out_of_memory)(struct oom_control *oc);
};

SEC("struct_ops.s/handle_out_of_memory")
int handle(void *ctx __attribute__((unused)))
{
	return bpf_out_of_memory((void *)0, 0, 0) & 0;
}

SEC(".struct_ops.link")
struct bpf_oom_ops handler = {
	.handle_out_of_memory = (void *)handle,
};

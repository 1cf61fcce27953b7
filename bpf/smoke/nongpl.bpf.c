// SPDX-License-Identifier: GPL-2.0-only
/* A program that is not under the GPL, so it may not call any kernel function. */
#include "../kernel.h"

char _license[] SEC("license") = "Proprietary";

SEC("syscall")
int nongpl(void *ctx __attribute__((unused)))
{
	return bpf_out_of_memory((void *)0, 0, 0) & 0;
}

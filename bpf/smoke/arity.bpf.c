// SPDX-License-Identifier: GPL-2.0-only
/* A program that declares the kfunc with the two arguments of the RFC. */
#define bpf_out_of_memory bpf_out_of_memory_of_v3
#include "../kernel.h"
#undef bpf_out_of_memory

extern int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order) __ksym;

char _license[] SEC("license") = "GPL";

SEC("syscall")
int arity(void *ctx __attribute__((unused)))
{
	return bpf_out_of_memory((void *)0, 0) & 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel types and kfuncs that oomctl's programs touch, trimmed by hand: CO-RE relocates
 * every access, so no vmlinux.h and no kernel BTF is needed to build.
 */
#ifndef OOMCTL_KERNEL_H
#define OOMCTL_KERNEL_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u64 u64;

#include <bpf/bpf_helpers.h>

/* enum bpf_map_type, include/uapi/linux/bpf.h */
#define BPF_MAP_TYPE_ARRAY 2

#define __co_re __attribute__((preserve_access_index))

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} __co_re;

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
} __co_re;

/* A definition, not a declaration: libbpf holds a forward incompatible with the kernel's struct. */
struct mem_cgroup {
} __co_re;

/*
 * Not weak: asking whether a weak kfunc exists takes its BTF id, and libbpf 1.1 gives that of a
 * module's kfunc as if it were vmlinux's, which the verifier refuses. btf.py asks beforehand.
 */
extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern struct mem_cgroup *bpf_get_mem_cgroup(struct cgroup_subsys_state *css) __ksym;
extern void bpf_put_mem_cgroup(struct mem_cgroup *memcg) __ksym;
extern int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order, u64 flags) __ksym;

#endif

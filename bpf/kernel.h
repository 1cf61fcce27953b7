/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel types and kfuncs that oomctl's programs use, trimmed by hand: CO-RE relocates every
 * access, so the build needs neither vmlinux.h nor the BTF of a kernel.
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
#include <bpf/bpf_core_read.h>

/* enum bpf_map_type and the flags of bpf_map_update_elem(), include/uapi/linux/bpf.h */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_ANY 0

#define __co_re __attribute__((preserve_access_index))

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} __co_re;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic_long_t;

struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
	u64 id;
} __co_re;

/* Before 633488947ef6 ("kernfs: Use RCU to access kernfs_node::parent."), v6.15. */
struct kernfs_node___plain_parent {
	struct kernfs_node *parent;
} __co_re;

struct cgroup_root {
	int hierarchy_id;
} __co_re;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	int level;
	struct cgroup_root *root;
} __co_re;

struct page_counter {
	atomic_long_t usage;
	unsigned long max;
} __co_re;

/* A definition: libbpf finds a forward declaration incompatible with the kernel's struct. */
struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	struct page_counter swap;
} __co_re;

struct css_set {
	struct cgroup *dfl_cgrp;
} __co_re;

struct percpu_counter {
	__s64 count;
} __co_re;

struct mm_struct {
	struct percpu_counter rss_stat[4];
} __co_re;

/* Before 6.2, "mm: convert mm's rss stats into percpu_counter". */
struct mm_rss_stat {
	atomic_long_t count[4];
} __co_re;

struct mm_struct___counted_by_thread {
	struct mm_rss_stat rss_stat;
} __co_re;

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	short oom_score_adj;
	struct mm_struct *oom_mm;
} __co_re;

struct task_struct {
	struct mm_struct *mm;
	int exit_code;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	u64 start_time;
	char comm[16];
	struct signal_struct *signal;
	struct css_set *cgroups;
} __co_re;

enum oom_constraint {
	CONSTRAINT_NONE,
	CONSTRAINT_CPUSET,
	CONSTRAINT_MEMORY_POLICY,
	CONSTRAINT_MEMCG,
};

/* include/uapi/linux/bpf.h; the kernel knows it by its name in the BTF of a map's value. */
struct bpf_task_work {
	__u64 __opaque;
} __attribute__((aligned(8)));

/* A struct, not only declared: libbpf compares the types that a callback takes by their kind. */
struct bpf_map {
	__u32 id;
} __co_re;

struct oom_control {
	struct mem_cgroup *memcg;
	int order;
	enum oom_constraint constraint;
} __co_re;

/*
 * Not weak: the test whether a weak kfunc exists takes its BTF id, and libbpf 1.1 passes that of a
 * module's kfunc as if it were vmlinux's, which the verifier refuses. btf.py checks beforehand.
 */
extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern struct mem_cgroup *bpf_get_mem_cgroup(struct cgroup_subsys_state *css) __ksym;
extern void bpf_put_mem_cgroup(struct mem_cgroup *memcg) __ksym;
extern int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order, u64 flags) __ksym;
/* Linux 7.0 and later: before, it had a fifth parameter. */
extern int bpf_task_work_schedule_signal(struct task_struct *task, struct bpf_task_work *work,
					 void *map, int (*callback)(struct bpf_map *, void *,
								    void *)) __ksym;

#endif

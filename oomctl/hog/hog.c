// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory hog: joins a cgroup, sets its oom_score_adj, fills memory through the kernel, reports
 * each step, and waits to be killed. It has no libc, so that an idle hog takes a few pages and the
 * kernel charges little more than the size.
 *
 *	hog NAME kind=KIND adj=TEXT size=BYTES report=FD procs=FD [KEY=VALUE...]
 *
 *	parent=PID	dies with this process; without it, the hog outlives its parent
 *	rate=BYTES	per second, while it fills
 *	touch=BYTES	to touch again and again once it is filled
 *	thp=1		transparent huge pages
 *	file=FD		for file: the file to write,
 *	path=FILE	or the file to read instead
 *	charge=FD	for pipe, socket, slab: memory.current of its cgroup, if it is alone there
 *	tasks=N		for threads, forker
 *	exits=1		for threads: the first thread, their leader, ends once all is filled
 *	sharer=FD	for shared: cgroup.procs for the process that shares its memory
 *	hold=NS		for traced: how long its tracer stops it when it exits,
 *	leash=FD	unless this pipe is written to or closed before that
 */
#include <stddef.h>

#include "hog.h"

/* Equal to Step in oomctl/hog/protocol.py. */
enum step { TRACE = 1, JOIN, ADJUST, MAP, FILL, SHARE, READY };

struct report {
	int step, error, child, status;
	unsigned long filled, took, lost;
};

static const struct kind kinds[] = {
	{ "anon", make_anon, populate, fill_alone, rest },
	{ "file", make_file, fill_file, fill_alone, rest },
	{ "shmem", make_shmem, populate_shmem, fill_alone, rest },
	{ "hugetlb", make_hugetlb, populate, fill_alone, rest },
	{ "mlock", make_anon, populate_locked, fill_alone, rest },
	{ "pipe", make_pipes, fill_pipes, fill_alone, rest },
	{ "socket", make_sockets, fill_sockets, fill_alone, rest },
	{ "slab", make_slab, fill_slab, fill_alone, rest },
	{ "threads", make_anon, populate, fill_by_threads, wait_for_threads },
	{ "forker", make_anon, populate, fill_by_children, replace_children },
	{ "shared", make_anon, populate, fill_alone, rest },
	{ "stopped", make_anon, populate, fill_alone, rest },
	{ "traced", make_anon, populate, fill_alone, rest },
	{ 0 },
};

static void report_step(struct hog *hog, enum step step, long ret)
{
	struct report report = { (int)step, ret < 0 ? (int)-ret : 0, hog->child, hog->status,
				 hog->filled, hog->took, hog->lost };

	sys(SYS_write, hog->report, &report, sizeof(report));
	if (ret < 0)
		leave(hog->child ? CHILD_KILLED : FAILED);
}

#define AT(key) { #key, offsetof(struct hog, key) }

static const struct { char key[8]; unsigned long at; } numbers[] = {
	AT(parent), AT(size), AT(rate), AT(thp), AT(touch), AT(tasks), AT(hold), AT(exits),
	AT(report), AT(procs), AT(charge), AT(sharer), AT(leash), AT(file),
};

static int parse_argument(struct hog *hog, const char *word)
{
	const char *value;
	unsigned i;

	if ((value = after(word, "kind"))) {
		for (hog->kind = kinds; hog->kind->name && !same(hog->kind->name, value);)
			hog->kind++;
		return hog->kind->name != 0;
	}
	if ((value = after(word, "adj")))
		return (hog->adj = value) != 0;
	if ((value = after(word, "path")))
		return (hog->path = value) != 0;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if ((value = after(word, numbers[i].key))) {
			*(unsigned long *)((char *)hog + numbers[i].at) = number(value);
			return 1;
		}
	return 0;
}

static void fill(struct hog *hog)
{
	unsigned long began = now();
	long ret;

	if (hog->size)
		report_step(hog, MAP, hog->kind->make(hog));
	ret = hog->kind->fill(hog);
	hog->took = now() - began;
	report_step(hog, FILL, ret);
}

_Noreturn void start(long *stack)
{
	struct hog hog = { 0 };
	char **word = (char **)(stack + 1);

	hog.charge = hog.sharer = hog.leash = hog.file = (unsigned long)NONE;
	hog.name = *++word;
	while (*word && *++word)
		if (!parse_argument(&hog, *word))
			leave(USAGE);
	if (!hog.kind || !hog.adj || !hog.report || !hog.procs)
		leave(USAGE);
	if (!hog.tasks)
		hog.tasks = 1;
	sys(SYS_prctl, PR_SET_NAME, hog.name);
	if (hog.parent)
		die_with(hog.parent);

	if (same(hog.kind->name, "traced"))
		report_step(&hog, TRACE, be_traced(&hog));
	report_step(&hog, JOIN, sys(SYS_write, hog.procs, "0", 1));
	sys(SYS_close, hog.procs);
	report_step(&hog, ADJUST, adjust(hog.adj));
	/* Even with size 0, threads and forker start their tasks. */
	if (hog.size || hog.kind->fill != fill_alone)
		fill(&hog);
	if (same(hog.kind->name, "shared"))
		report_step(&hog, SHARE, share(&hog));
	report_step(&hog, READY, 0);
	sys(SYS_close, hog.report);
	if (same(hog.kind->name, "stopped"))
		sys(SYS_kill, sys(SYS_getpid), SIGSTOP);
	hog.kind->rest(&hog);
	leave(NO_CHILD);
}

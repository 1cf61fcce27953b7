// SPDX-License-Identifier: GPL-2.0-only
/*
 * A caller: calls the kfunc or writes a file at the moment at which all callers of a turn do, and
 * leaves what came of it in shared memory. It has no libc, so that it starts and ends at once, and
 * so that the OOM killer finds nothing in it to kill it for.
 *
 *	caller NAME shared=FD at=NUMBER ready=FD start=FD parent=PID [KEY=VALUE...]
 *
 *	adj=TEXT	its oom_score_adj
 *	procs=PATH	cgroup.procs of the cgroup to join
 *
 *	program=FD	calls the kfunc by this BPF program, which leaves its result
 *	results=FD	in this map, for
 *	cgroup=ID	0: the whole system
 *	order=TEXT flags=NUMBER
 *	later=1		in task work, which may come after bpf(2) has returned
 *	usage=PATH	memory.current of the target
 *	above=BYTES	calls again and again, as long as oom_lock is taken and the target uses more,
 *	every=NS	with this pause
 *	stall=PATH	waits first until memory.pressure, as
 *	text=TEXT	says, has stalled
 *
 *	write=PATH	writes
 *	text=TEXT	to a file, then
 *	was=TEXT	what was there; with `program` and `usage`, calls only if the write fails
 */
#include <stddef.h>

#include "../freestanding/process.h"
#include "../freestanding/text.h"

enum { BPF_MAP_LOOKUP_ELEM = 1, BPF_MAP_UPDATE_ELEM = 2, BPF_PROG_TEST_RUN = 10 };
enum { POLLPRI = 2, POLLERR = 8 };
enum { NONE = -1, PAUSE = 500000, MISUSED = 2, FAILED = 255 };

/* What failed. Equal to Part in oomctl/experiment/caller.py. */
enum part { ADJUST = 1, JOIN, MAP, USAGE, OPEN, WRITE, REMOVED };

/* Equal to SharedResult in oomctl/experiment/caller.py; times are CLOCK_MONOTONIC in ns. */
struct shared {
	unsigned long began, ended;
	long reclaimed;
	int ret;
	unsigned attempts, spared, wrote_reclaim;
	enum part failed;
	int error;
};

/* struct oomctl_call and its stages; bpf/declare.h */
struct call {
	unsigned long cgroup, flags;
	int order;
	unsigned global, slot, unused;
};

enum stage { NOT_RUN = 0, CALLED = 4 };

struct call_result {
	unsigned long began, ended;
	int ret;
	enum stage stage;
};

struct caller {
	const char *name, *adj, *procs, *order, *usage, *stall, *write, *text, *was;
	unsigned long shared, at, ready, start, parent;
	unsigned long program, results, cgroup, flags, later, above, every;
	volatile struct shared *left;
};

#define AT(key) { #key, offsetof(struct caller, key) }

static const struct word {
	char key[8];
	unsigned long at;
} texts[] = {
	AT(adj), AT(procs), AT(order), AT(usage), AT(stall), AT(write), AT(text), AT(was), { "", 0 },
}, numbers[] = {
	AT(shared), AT(at), AT(ready), AT(start), AT(parent), AT(program), AT(results), AT(cgroup),
	AT(flags), AT(later), AT(above), AT(every), { "", 0 },
};

static const char *value_of(const char *argument, const struct word *word, unsigned long *at)
{
	const char *value = 0;

	for (; word->key[0] && !(value = after(argument, word->key)); word++)
		;
	*at = word->at;
	return value;
}

static void parse(struct caller *caller, const char *argument)
{
	const char *value;
	unsigned long at;

	if ((value = value_of(argument, texts, &at)))
		*(const char **)((char *)caller + at) = value;
	else if ((value = value_of(argument, numbers, &at)))
		*(unsigned long *)((char *)caller + at) = number(value);
	else
		leave(MISUSED);
}

/* Passes on a result that is no error; else the caller ends. */
static long check(struct caller *caller, enum part part, long ret)
{
	if (ret >= 0)
		return ret;
	caller->left->error = (int)-ret;
	caller->left->failed = part;
	leave(FAILED);
}

static void access_map(struct caller *caller, long command, struct call_result *result)
{
	unsigned slot = (unsigned)caller->at;
	struct {
		unsigned map, unused;
		const void *key, *value;
		unsigned long flags;
	} attr = { (unsigned)caller->results, 0, &slot, result, 0 };

	check(caller, MAP, sys(SYS_bpf, command, &attr, sizeof(attr)));
}

static int has_ended(const struct call_result *result)
{
	return result->stage == CALLED ? result->ended != 0 : result->stage != NOT_RUN;
}

/* Calls the kfunc. Returns 0 or the errno of bpf(2). */
static int call(struct caller *caller, struct call_result *result)
{
	struct call context = { caller->cgroup, caller->flags, (int)number(caller->order),
				!caller->cgroup, (unsigned)caller->at, 0 };
	/* A program of type syscall takes nothing else (net/bpf/test_run.c). */
	struct {
		unsigned program, ret, in_size, out_size;
		const void *in, *out;
		unsigned repeat, duration, context_size, context_out_size;
		const void *context, *context_out;
		unsigned flags, cpu, batch_size, unused;
	} attr = { .program = (unsigned)caller->program, .context_size = sizeof(context),
		   .context = &context };
	long ret;

	if (*caller->order == '-')
		context.order = (int)-(long)number(caller->order + 1);
	caller->left->attempts++;
	*result = (struct call_result){ 0 };
	access_map(caller, BPF_MAP_UPDATE_ELEM, result);
	ret = sys(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	if (ret < 0)
		return (int)-ret;
	access_map(caller, BPF_MAP_LOOKUP_ELEM, result);
	/* An irq_work adds the task work (kernel/bpf/helpers.c, bpf_task_work_schedule()). */
	while (caller->later && !has_ended(result)) {
		sleep_until(now() + PAUSE);
		access_map(caller, BPF_MAP_LOOKUP_ELEM, result);
	}
	return 0;
}

static unsigned long read_usage(struct caller *caller)
{
	char text[32];
	long fd = check(caller, USAGE, sys(SYS_openat, AT_FDCWD, caller->usage, O_RDONLY));
	long bytes = check(caller, USAGE, sys(SYS_read, fd, text, sizeof(text) - 1));

	sys(SYS_close, fd);
	text[bytes] = 0;
	return number(text);
}

/* Returns 0 or a negative errno: the kernel's answer. */
static long write_text(struct caller *caller, const char *text)
{
	long ret, fd = sys(SYS_openat, AT_FDCWD, caller->write, O_WRONLY);

	if (fd == -EMFILE || fd == -ENFILE)	/* says nothing of the file */
		check(caller, WRITE, fd);
	if (fd < 0)
		return fd;
	ret = sys(SYS_write, fd, text, length(text));
	sys(SYS_close, fd);
	return ret < 0 ? ret : 0;
}

static void write_file(struct caller *caller)
{
	volatile struct shared *left = caller->left;

	left->attempts = 1;
	left->began = now();
	left->ret = (int)write_text(caller, caller->text);
	left->ended = now();
	/* Else the kernel would kill for each further charge. */
	if (caller->was)
		write_text(caller, caller->was);
}

/* Returns whether the kernel has reclaimed what was wanted. */
static int reclaim(struct caller *caller)
{
	volatile struct shared *left = caller->left;
	unsigned long ended, usage, before = read_usage(caller);

	left->wrote_reclaim = 1;
	left->began = now();
	left->ret = (int)write_text(caller, caller->text);
	ended = now();
	usage = read_usage(caller);
	left->reclaimed = before > usage ? (long)(before - usage) : 0;
	left->ended = ended;	/* the last: it says that the others are set */
	return !left->ret;
}

static int call_while_above(struct caller *caller)
{
	struct call_result result;
	int error;

	caller->left->began = now();
	while (read_usage(caller) > caller->above) {
		error = call(caller, &result);
		if (error || result.ret != -EBUSY)
			return error;
		sleep_until(now() + caller->every);
	}
	caller->left->spared = 1;
	caller->left->ended = now();
	return 0;
}

/* Each caller has a trigger of its own (Documentation/accounting/psi.rst). */
static void wait_for_stall(struct caller *caller)
{
	struct {
		int fd;
		short events, seen;
	} poll = { 0, POLLPRI, 0 };

	poll.fd = (int)check(caller, OPEN, sys(SYS_openat, AT_FDCWD, caller->stall, O_RDWR));
	check(caller, WRITE, sys(SYS_write, poll.fd, caller->text, length(caller->text)));
	while (sys(SYS_ppoll, &poll, 1) == -EINTR)
		;
	if (poll.seen & POLLERR)
		check(caller, REMOVED, -ENODEV);
	sys(SYS_close, poll.fd);
}

static int pull(struct caller *caller)
{
	struct call_result result;

	if (caller->program == (unsigned long)NONE) {
		write_file(caller);
		return 0;
	}
	if (caller->write && reclaim(caller))
		return 0;
	if (caller->stall)
		wait_for_stall(caller);
	return caller->usage && !caller->write ? call_while_above(caller) : call(caller, &result);
}

static void prepare(struct caller *caller)
{
	long fd;

	if (caller->adj)
		check(caller, ADJUST, adjust(caller->adj));
	if (caller->procs) {
		fd = check(caller, JOIN, sys(SYS_openat, AT_FDCWD, caller->procs, O_WRONLY));
		check(caller, JOIN, sys(SYS_write, fd, "0", 1));
		sys(SYS_close, fd);
	}
}

_Noreturn void start(long *stack)
{
	enum { PROT_READ_WRITE = 3, MAP_SHARED = 1 };
	struct caller caller = { 0 };
	char **word = (char **)(stack + 1), byte;
	struct shared *all;
	long size;

	caller.shared = caller.ready = caller.start = caller.program = (unsigned long)NONE;
	caller.name = *++word;
	while (*word && *++word)
		parse(&caller, *word);
	if (caller.program == (unsigned long)NONE ? !caller.write : !caller.order)
		leave(MISUSED);
	sys(SYS_prctl, PR_SET_NAME, caller.name);
	if (!dies_with(caller.parent))
		leave(FAILED);
	size = (long)(sizeof(struct shared) * (caller.at + 1));
	all = (void *)sys(SYS_mmap, 0, size, PROT_READ_WRITE, MAP_SHARED, caller.shared, 0);
	if ((unsigned long)all > -4096UL)
		leave(FAILED);
	caller.left = all + caller.at;
	prepare(&caller);
	byte = (char)caller.at;
	sys(SYS_write, caller.ready, &byte, 1);
	/* The parent has ended, or gives up, if there is no byte. */
	leave(sys(SYS_read, caller.start, &byte, 1) == 1 ? pull(&caller) : 0);
}

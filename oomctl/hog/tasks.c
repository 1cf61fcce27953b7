// SPDX-License-Identifier: GPL-2.0-only
/* Hogs of several tasks: threads, children that are replaced, a process that shares the memory. */
#include "hog.h"

enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, STACK = 16384 };
enum { CLONE_VM = 0x100, CLONE_THREAD_OF_OURS = 0x50f00 };
enum { PAUSE = 10000000, WNOHANG = 1 };

/*
 * clone() with a new stack, on which `run(of)` is called, which must not return.
 * Returns the TID, or a negative errno.
 */
long clone_onto(unsigned long flags, void *stack, void (*run)(void *of), void *of);

#if defined(__x86_64__)
__asm__(".globl clone_onto\nclone_onto:\n"
	"	sub $16, %rsi\n"
	"	mov %rdx, (%rsi)\n"
	"	mov %rcx, 8(%rsi)\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	xor %r8d, %r8d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jnz 1f\n"
	"	xor %ebp, %ebp\n"
	"	pop %rax\n"
	"	pop %rdi\n"
	"	call *%rax\n"
	"1:	ret\n");
#else
__asm__(".globl clone_onto\nclone_onto:\n"
	"	stp x2, x3, [x1, #-16]!\n"
	"	mov x2, #0\n"
	"	mov x3, #0\n"
	"	mov x4, #0\n"
	"	mov x8, #220\n"
	"	svc 0\n"
	"	cbnz x0, 1f\n"
	"	mov x29, #0\n"
	"	ldp x1, x0, [sp], #16\n"
	"	blr x1\n"
	"1:	ret\n");
#endif

/* A task in the same memory; its stack is below this struct. */
struct task {
	struct hog *hog;
	struct range range;
	unsigned long parent;
	long ret;
	int done;
} __attribute__((aligned(16)));

static struct task *task_at(long stacks, unsigned long index)
{
	return (struct task *)(stacks + (long)(index + 1) * STACK) - 1;
}

static void finish(struct task *task, long ret)
{
	task->ret = ret;
	__atomic_store_n(&task->done, 1, __ATOMIC_RELEASE);
	sys(SYS_futex, &task->done, FUTEX_WAKE, 1);
}

static long wait_for(struct task *task)
{
	while (!__atomic_load_n(&task->done, __ATOMIC_ACQUIRE))
		sys(SYS_futex, &task->done, FUTEX_WAIT, 0);
	return task->ret;
}

void die_with(unsigned long parent)
{
	if (!dies_with(parent))
		leave(NO_PARENT);
}

/* The bytes of each task, a multiple of `unit`. */
static unsigned long part(struct hog *hog, unsigned long unit)
{
	return round_up((hog->size + hog->tasks - 1) / hog->tasks, unit);
}

static void thread(void *of)
{
	struct task *task = of;
	struct hog *hog = task->hog;
	char *memory = hog->memory + task->range.from;
	unsigned long bytes = task->range.to - task->range.from;

	finish(task, pace(hog, &task->range));
	touch(memory, smaller(hog->touch / hog->tasks, bytes));
}

/* The threads touch their parts themselves. */
void wait_for_threads(struct hog *hog)
{
	if (hog->exits)
		sys(SYS_exit, DONE);	/* the process lives on without its leader */
	sleep_forever();
}

long fill_by_threads(struct hog *hog)
{
	unsigned long i, from, each = part(hog, hog->thp ? HUGE_PAGE : GRAIN);
	long ret, stacks = map_private(hog->tasks * STACK);
	struct task *task;

	if (stacks < 0)
		return stacks;
	for (i = 0; i < hog->tasks; i++) {
		from = smaller(i * each, hog->size);
		task = task_at(stacks, i);
		task->hog = hog;
		task->range.from = from;
		task->range.to = smaller(from + each, hog->size);
		task->range.rate = hog->rate ? hog->rate / hog->tasks + 1 : 0;
		ret = clone_onto(CLONE_THREAD_OF_OURS, task, thread, task);
		if (ret < 0)
			return ret;
	}
	for (i = 0; i < hog->tasks; i++) {
		task = task_at(stacks, i);
		ret = wait_for(task);
		if (ret < 0)
			return ret;
		hog->lost += task->range.lost / hog->tasks;
	}
	hog->filled = hog->size;
	return 0;
}

/* What a child writes to the hog once it is filled. */
struct child_report {
	long ret;
	unsigned long lost;
};

static long fork_child(struct hog *hog, long pipe)
{
	struct range all = { 0, part(hog, PAGE), hog->rate, 0 };
	unsigned long parent = (unsigned long)sys(SYS_getpid);
	long pid = sys(SYS_clone, SIGCHLD);
	struct child_report report;

	if (pid)
		return pid;
	die_with(parent);
	sys(SYS_close, hog->report);
	report.ret = pace(hog, &all);
	report.lost = all.lost;
	sys(SYS_write, pipe, &report, sizeof(report));
	sys(SYS_close, pipe);
	if (report.ret < 0)
		leave(FAILED);
	touch(hog->memory, smaller(hog->touch / hog->tasks, all.to));
}

/*
 * The page of a pipe is charged to the task that writes first (fs/pipe.c, anon_pipe_write()); once
 * it is read, the pipe keeps it. So a child without memory can still report that.
 */
static long open_pipe(int ends[2])
{
	long ret = sys(SYS_pipe2, ends, 0);
	char byte = 0;

	if (ret < 0)
		return ret;
	ret = sys(SYS_write, ends[1], &byte, 1);
	if (ret > 0)
		ret = sys(SYS_read, ends[0], &byte, 1);
	if (ret < 0) {
		sys(SYS_close, ends[0]);
		sys(SYS_close, ends[1]);
	}
	return ret;
}

/* One after the other, to keep the rate. All fill the same addresses, each its own pages. */
long fill_by_children(struct hog *hog)
{
	struct child_report report;
	unsigned long i;
	int ends[2];
	long pid, ret, got;

	for (i = 0; i < hog->tasks; i++) {
		ret = open_pipe(ends);
		if (ret < 0)
			return ret;
		pid = fork_child(hog, ends[1]);
		sys(SYS_close, ends[1]);
		got = pid < 0 ? 0 : sys(SYS_read, ends[0], &report, sizeof(report));
		sys(SYS_close, ends[0]);
		if (pid < 0)
			return pid;
		if (got != sizeof(report)) {
			sys(SYS_wait4, pid, &hog->status);	/* killed before it was filled */
			hog->child = (int)pid;
			return -ECHILD;
		}
		if (report.ret < 0)
			return report.ret;
		hog->lost += report.lost;
		hog->filled += part(hog, PAGE);
	}
	/* Filled children may have been killed while others filled. */
	hog->child = (int)sys(SYS_wait4, NONE, &hog->status, WNOHANG);
	return hog->child ? -ECHILD : 0;
}

void replace_children(struct hog *hog)
{
	int status;

	while (sys(SYS_wait4, NONE, &status) > 0) {
		/* A killed child is replaced at once; one that failed to fill would be a busy loop. */
		if (!(status & 0x7f))
			sleep_until(now() + PAUSE);
		while (fork_child(hog, NONE) < 0)
			sleep_until(now() + PAUSE);
	}
}

static void sharer(void *of)
{
	struct task *task = of;
	struct hog *hog = task->hog;

	die_with(task->parent);
	sys(SYS_close, hog->report);
	finish(task, sys(SYS_write, hog->sharer, "0", 1));
	sleep_forever();
}

/* Not a thread: a process with the same memory that may be in another cgroup. */
long share(struct hog *hog)
{
	long ret, stack = map_private(STACK);
	struct task *task;

	if (stack < 0)
		return stack;
	task = task_at(stack, 0);
	task->hog = hog;
	task->parent = (unsigned long)sys(SYS_getpid);
	ret = clone_onto(CLONE_VM | SIGCHLD, task, sharer, task);
	return ret < 0 ? ret : wait_for(task);
}

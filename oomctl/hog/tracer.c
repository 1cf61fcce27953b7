// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tracer that stops its hog at its exit: killed, but with all of its memory still charged.
 *
 * It is a child of the hog, forked before the hog joins its cgroup, so that it is outside the
 * target and has the oom_score_adj of oomctl. It ends with the hog.
 */
#include "hog.h"

enum { PTRACE_CONT = 7, PTRACE_DETACH = 17, PTRACE_GETEVENTMSG = 0x4201, PTRACE_SEIZE = 0x4206 };
enum { PTRACE_LISTEN = 0x4208, PTRACE_O_TRACEEXIT = 0x40, WALL = 0x40000000 };
enum { PTRACE_EVENT_EXIT = 6, PTRACE_EVENT_STOP = 128, POLLIN = 1 };

struct pollfd {
	int fd;
	short events, revents;
};

static int stops(long signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* oomctl writes to the leash, a pipe, to release its hogs; it is closed when oomctl ends. */
static void hold(struct hog *hog, unsigned long pid)
{
	struct timespec time = { (long)(hog->hold / SECOND), (long)(hog->hold % SECOND) };
	struct pollfd leash = { (int)hog->leash, POLLIN, 0 };
	unsigned long status = 0;

	sys(SYS_ptrace, PTRACE_GETEVENTMSG, pid, 0, &status);
	if (status & 0x7f)	/* ended by a signal, not by exit() */
		sys(SYS_ppoll, &leash, 1, &time, 0, 0);
}

static _Noreturn void trace(struct hog *hog, unsigned long pid)
{
	int status, event;
	long signal;

	while (sys(SYS_wait4, pid, &status, WALL) >= 0 && (status & 0xff) == 0x7f) {
		signal = status >> 8 & 0xff;
		event = status >> 16;
		if (event == PTRACE_EVENT_EXIT) {
			hold(hog, pid);
			sys(SYS_ptrace, PTRACE_DETACH, pid);
			break;
		}
		if (event == PTRACE_EVENT_STOP)
			sys(SYS_ptrace, stops(signal) ? PTRACE_LISTEN : PTRACE_CONT, pid);
		else
			sys(SYS_ptrace, PTRACE_CONT, pid, 0, signal);
	}
	leave(DONE);
}

long be_traced(struct hog *hog)
{
	unsigned long pid = (unsigned long)sys(SYS_getpid);
	long tracer, seized = -ESRCH;
	int ends[2];

	tracer = sys(SYS_pipe2, ends, 0);
	if (tracer < 0)
		return tracer;
	tracer = sys(SYS_clone, SIGCHLD);
	if (!tracer) {
		die_with(pid);
		sys(SYS_close, hog->report);
		sys(SYS_close, hog->procs);
		seized = sys(SYS_ptrace, PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT);
		sys(SYS_write, ends[1], &seized, sizeof(seized));
		sys(SYS_close, ends[0]);
		sys(SYS_close, ends[1]);
		trace(hog, pid);
	}
	sys(SYS_close, ends[1]);
	if (tracer > 0)
		sys(SYS_read, ends[0], &seized, sizeof(seized));
	sys(SYS_close, ends[0]);
	return tracer < 0 ? tracer : seized;
}

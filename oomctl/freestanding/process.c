// SPDX-License-Identifier: GPL-2.0-only
/* Time, the parent's death, oom_score_adj, and the entry of a program. */
#include "process.h"
#include "text.h"

unsigned long now(void)
{
	struct timespec time;

	sys(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
	return (unsigned long)time.sec * SECOND + (unsigned long)time.nsec;
}

void sleep_until(unsigned long when)
{
	struct timespec time = { (long)(when / SECOND), (long)(when % SECOND) };

	while (sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time) == -EINTR)
		;
}

/* Have the kernel kill this process once its parent ends; 0 if it has ended already. */
int dies_with(unsigned long parent)
{
	sys(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	return (unsigned long)sys(SYS_getppid) == parent;
}

/* Write oom_score_adj and read it back. */
long adjust(const char *adj)
{
	char text[16];
	long ret, fd = sys(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_RDWR);

	/* The inode could not be charged (fs/proc/base.c, proc_pident_instantiate()). */
	if (fd == -ENOENT)
		return -ENOMEM;
	if (fd < 0)
		return fd;
	ret = sys(SYS_write, fd, adj, length(adj));
	if (ret >= 0)
		ret = sys(SYS_pread64, fd, text, sizeof(text), 0);
	sys(SYS_close, fd);
	if (ret <= 0)
		return ret;
	text[ret - 1] = 0;	/* the newline */
	return same(text, adj) ? 0 : -EPERM;
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#else
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start\n");
#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory hog: joins a cgroup, sets its oom_score_adj, fills anonymous memory through the kernel,
 * reports, and waits to be killed. No libc, so that an idle hog is a few pages and what the kernel
 * charges is what was asked for.
 *
 *	hog NAME PARENT ADJ BYTES 3>report 4>cgroup.procs
 *
 * It dies with PARENT; 0 is for a hog that is to outlive who started it.
 */
#if defined(__x86_64__)
enum { SYS_write = 1, SYS_close = 3, SYS_mmap = 9, SYS_madvise = 28, SYS_exit = 60,
       SYS_getppid = 110, SYS_prctl = 157, SYS_openat = 257, SYS_ppoll = 271 };
#elif defined(__aarch64__)
enum { SYS_openat = 56, SYS_close = 57, SYS_write = 64, SYS_ppoll = 73, SYS_exit = 93,
       SYS_prctl = 167, SYS_getppid = 173, SYS_mmap = 222, SYS_madvise = 233 };
#else
#error "no system call numbers for this architecture"
#endif

enum { REPORT_FD = 3, PROCS_FD = 4 };
enum { AT_FDCWD = -100, O_WRONLY = 1, EINTR = 4, EAGAIN = 11, SIGKILL = 9 };
enum { PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15 };
enum { PROT_READ_WRITE = 3, MAP_PRIVATE_ANON = 0x22, MAP_NORESERVE = 0x4000 };
enum { MADV_NOHUGEPAGE = 15, MADV_POPULATE_WRITE = 23 };

/* Equal to Step in oomctl/kernel/hogs.py. */
enum step { JOIN = 1, ADJUST, MAP, FILL, READY };

struct report {
	int step;
	int error;
};

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#else
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#endif
}

static _Noreturn void leave(int status)
{
	for (;;)
		call(SYS_exit, status, 0, 0, 0, 0, 0);
}

static void tell(enum step step, long ret)
{
	struct report report = { step, ret < 0 ? (int)-ret : 0 };

	call(SYS_write, REPORT_FD, (long)&report, sizeof(report), 0, 0, 0);
	if (ret < 0)
		leave(1);
}

static unsigned long length(const char *text)
{
	unsigned long n = 0;

	while (text[n])
		n++;
	return n;
}

static unsigned long number(const char *text)
{
	unsigned long value = 0;

	for (; *text; text++)
		value = value * 10 + (unsigned long)(*text - '0');
	return value;
}

static long put(const char *path, const char *text)
{
	long ret, fd = call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY, 0, 0, 0);

	if (fd < 0)
		return fd;
	ret = call(SYS_write, fd, (long)text, (long)length(text), 0, 0, 0);
	call(SYS_close, fd, 0, 0, 0, 0, 0);
	return ret;
}

static long fill(long start, unsigned long bytes)
{
	long ret;

	/* 4 KiB pages, so that what is charged does not hang on the machine's THP policy. */
	call(SYS_madvise, start, (long)bytes, MADV_NOHUGEPAGE, 0, 0, 0);
	do {
		ret = call(SYS_madvise, start, (long)bytes, MADV_POPULATE_WRITE, 0, 0, 0);
	} while (ret == -EINTR || ret == -EAGAIN);
	return ret;
}

__attribute__((used)) static _Noreturn void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	unsigned long bytes, parent;
	long ret;

	if (stack[0] != 5)
		leave(2);
	call(SYS_prctl, PR_SET_NAME, (long)argv[1], 0, 0, 0, 0);
	parent = number(argv[2]);
	if (parent) {
		call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
		/* The parent may have died before the line above. */
		if ((unsigned long)call(SYS_getppid, 0, 0, 0, 0, 0, 0) != parent)
			leave(0);
	}

	tell(JOIN, call(SYS_write, PROCS_FD, (long)"0", 1, 0, 0, 0));
	call(SYS_close, PROCS_FD, 0, 0, 0, 0, 0);
	tell(ADJUST, put("/proc/self/oom_score_adj", argv[3]));

	bytes = number(argv[4]);
	if (bytes) {
		ret = call(SYS_mmap, 0, (long)bytes, PROT_READ_WRITE,
			   MAP_PRIVATE_ANON | MAP_NORESERVE, -1, 0);
		/* Errors are -4095..-1; addresses of user space are positive. */
		tell(MAP, ret < 0 ? ret : 0);
		tell(FILL, fill(ret, bytes));
	}
	tell(READY, 0);
	call(SYS_close, REPORT_FD, 0, 0, 0, 0, 0);

	for (;;)
		call(SYS_ppoll, 0, 0, 0, 0, 0, 0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#else
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start\n");
#endif

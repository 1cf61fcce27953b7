/* SPDX-License-Identifier: GPL-2.0-only */
/* System calls without a libc, and the kernel's constants that hogs and callers use. */
#ifndef OOMCTL_SYS_H
#define OOMCTL_SYS_H

#if defined(__x86_64__)
enum {
	SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_mmap = 9, SYS_pread64 = 17, SYS_madvise = 28,
	SYS_getpid = 39, SYS_sendfile = 40, SYS_socketpair = 53, SYS_setsockopt = 54, SYS_clone = 56,
	SYS_exit = 60, SYS_wait4 = 61, SYS_kill = 62, SYS_fcntl = 72, SYS_fdatasync = 75, SYS_ptrace = 101,
	SYS_getppid = 110, SYS_mlock = 149, SYS_prctl = 157, SYS_futex = 202, SYS_fadvise64 = 221,
	SYS_clock_gettime = 228, SYS_clock_nanosleep = 230, SYS_exit_group = 231, SYS_openat = 257,
	SYS_mknodat = 259, SYS_ppoll = 271, SYS_fallocate = 285, SYS_pipe2 = 293, SYS_prlimit64 = 302,
	SYS_memfd_create = 319, SYS_bpf = 321,
};
#elif defined(__aarch64__)
enum {
	SYS_fcntl = 25, SYS_mknodat = 33, SYS_fallocate = 47, SYS_openat = 56, SYS_close = 57,
	SYS_pipe2 = 59, SYS_read = 63, SYS_write = 64, SYS_pread64 = 67, SYS_sendfile = 71,
	SYS_ppoll = 73, SYS_fdatasync = 83, SYS_exit = 93, SYS_exit_group = 94, SYS_futex = 98,
	SYS_clock_gettime = 113, SYS_clock_nanosleep = 115, SYS_ptrace = 117, SYS_kill = 129,
	SYS_prctl = 167, SYS_getpid = 172, SYS_getppid = 173, SYS_socketpair = 199,
	SYS_setsockopt = 208, SYS_clone = 220, SYS_mmap = 222, SYS_fadvise64 = 223, SYS_mlock = 228,
	SYS_madvise = 233, SYS_wait4 = 260, SYS_prlimit64 = 261, SYS_memfd_create = 279,
	SYS_bpf = 280,
};
#else
#error "no system call numbers for this architecture"
#endif
enum { SYS_fsopen = 430, SYS_fsconfig = 431, SYS_fsmount = 432 };

enum {
	EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, ECHILD = 10, EAGAIN = 11, ENOMEM = 12,
	EBUSY = 16, ENODEV = 19, EINVAL = 22, ENFILE = 23, EMFILE = 24, ENOSPC = 28, ENODATA = 61,
	EOPNOTSUPP = 95,
};
enum { AT_FDCWD = -100, O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_NONBLOCK = 04000 };
enum { SIGKILL = 9, SIGCHLD = 17, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22 };
enum { CLOCK_MONOTONIC = 1, TIMER_ABSTIME = 1 };

struct timespec {
	long sec, nsec;
};

static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
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

/* sys(SYS_close, fd): missing arguments are 0. Errors are -4095 to -1. */
#define sys(...) sys_pad(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define sys_pad(nr, a, b, c, d, e, f, ...) \
	syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline _Noreturn void leave(int status)
{
	for (;;)
		sys(SYS_exit_group, status);
}

static inline _Noreturn void sleep_forever(void)
{
	for (;;)
		sys(SYS_ppoll);
}

#endif

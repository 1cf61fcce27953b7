// SPDX-License-Identifier: GPL-2.0-only
/* Mapped memory: anonymous, shared, huge, locked. The kernel fills it. */
#include "hog.h"

enum { PROT_READ = 1, PROT_READ_WRITE = 3 };
enum { MAP_SHARED = 1, MAP_PRIVATE_ANON = 0x4022 /* and NORESERVE */ };
/* Without NORESERVE: mmap() refuses what is not available, instead of a SIGBUS later. */
enum { MAP_PRIVATE_HUGE = 0x40022 };
enum { MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15, MADV_POPULATE_WRITE = 23 };
enum { MFD_CLOEXEC = 1, MFD_NOEXEC_SEAL = 8 };
enum { BETWEEN_PASSES = 10000000 };

/* Returns the address or a negative errno. Without huge pages, so that the charge does not depend
 * on the machine's policy for them. */
static long map(unsigned long bytes, int protection, int flags, long fd)
{
	long ret = sys(SYS_mmap, 0, bytes, protection, flags, fd, 0);

	if (ret > 0)
		sys(SYS_madvise, ret, bytes, MADV_NOHUGEPAGE);
	return ret;
}

static long keep(struct hog *hog, long mapped)
{
	if (mapped < 0)
		return mapped;
	hog->memory = (char *)mapped;
	return 0;
}

long map_private(unsigned long bytes)
{
	return map(bytes, PROT_READ_WRITE, MAP_PRIVATE_ANON, NONE);
}

/* A buffer to write from that is not charged: reads of it map the kernel's zero page. */
long make_zeros(struct hog *hog)
{
	long ret = map(MOST_AT_ONCE, PROT_READ, MAP_PRIVATE_ANON, NONE);

	hog->zeros = (const char *)ret;
	return ret < 0 ? ret : 0;
}

long make_anon(struct hog *hog)
{
	unsigned long slack = hog->thp ? HUGE_PAGE : 0;
	long ret;

	if (hog->size + slack < hog->size)
		return -ENOMEM;
	ret = keep(hog, map_private(hog->size + slack));
	if (ret < 0 || !hog->thp)
		return ret;
	hog->memory = (char *)round_up((unsigned long)hog->memory, HUGE_PAGE);
	/* Only up to the size: the rest of the last huge page would be charged too. */
	return sys(SYS_madvise, hog->memory, hog->size, MADV_HUGEPAGE);
}

/* Mapped, because oom_badness() (mm/oom_kill.c) counts mapped pages. */
long make_shmem(struct hog *hog)
{
	hog->fd = sys(SYS_memfd_create, hog->name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	/* MFD_NOEXEC_SEAL is new in 6.3, which warns about callers without it. */
	if (hog->fd == -EINVAL)
		hog->fd = sys(SYS_memfd_create, hog->name, MFD_CLOEXEC);
	if (hog->fd < 0)
		return hog->fd;
	return keep(hog, map(hog->size, PROT_READ_WRITE, MAP_SHARED, hog->fd));
}

long make_hugetlb(struct hog *hog)
{
	return keep(hog, map(hog->size, PROT_READ_WRITE, MAP_PRIVATE_HUGE, NONE));
}

long populate(struct hog *hog, unsigned long from, unsigned long to)
{
	long ret;

	do {
		ret = sys(SYS_madvise, hog->memory + from, to - from, MADV_POPULATE_WRITE);
	} while (ret == -EINTR || ret == -EAGAIN);
	return ret;
}

/* fallocate() makes the pages several times faster than page faults. */
long populate_shmem(struct hog *hog, unsigned long from, unsigned long to)
{
	long ret;

	do {
		ret = sys(SYS_fallocate, hog->fd, 0, from, to - from);
	} while (ret == -EINTR);
	return ret < 0 ? ret : populate(hog, from, to);
}

long populate_locked(struct hog *hog, unsigned long from, unsigned long to)
{
	long ret = populate(hog, from, to);

	return ret < 0 ? ret : sys(SYS_mlock, hog->memory + from, to - from);
}

_Noreturn void touch(char *memory, unsigned long bytes)
{
	unsigned long at;

	if (!bytes)
		sleep_forever();
	for (;;) {
		for (at = 0; at < bytes; at += PAGE)
			*(volatile char *)(memory + at) = 1;
		sleep_until(now() + BETWEEN_PASSES);
	}
}

void rest(struct hog *hog)
{
	touch(hog->memory, hog->memory ? smaller(hog->touch, hog->size) : 0);
}

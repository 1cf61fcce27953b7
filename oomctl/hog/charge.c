// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel memory that belongs to no task: pipes, sockets, dentries and inodes.
 *
 * The size of such an object depends on the kernel. So a hog that is alone in its cgroup reads
 * memory.current and adds objects until it has risen by the hog's size; otherwise the hog counts
 * what it wrote.
 */
#include "hog.h"

enum { AF_UNIX = 1, SOCK_STREAM = 1, SOL_SOCKET = 1, SO_SNDBUFFORCE = 32, F_SETPIPE_SZ = 1031 };
enum { RLIMIT_NOFILE = 7, SPARE_DESCRIPTORS = 1024, MOST_DESCRIPTORS = 1 << 20 };
enum { SEND_BUFFER = 16 << 20 };
enum { FSCONFIG_SET_STRING = 1, FSCONFIG_CMD_CREATE = 6, S_IFREG = 0100000 };
enum { ENTRY_BYTES = 1024, ENTRIES_AT_ONCE = 256 };

static unsigned long charge(struct hog *hog)
{
	char text[24];
	long got = sys(SYS_pread64, hog->charge, text, sizeof(text) - 1, 0);

	text[got > 0 ? got : 0] = 0;
	return number(text);
}

static long begin(struct hog *hog)
{
	unsigned long wanted = smaller(hog->size / (64 << 10) + SPARE_DESCRIPTORS, MOST_DESCRIPTORS);
	unsigned long limit[2] = { wanted, wanted };

	sys(SYS_prlimit64, 0, RLIMIT_NOFILE, limit);
	hog->fd = NONE;
	if (hog->charge != (unsigned long)NONE)
		hog->base = charge(hog);
	return make_zeros(hog);
}

static unsigned long rise(struct hog *hog)
{
	unsigned long seen;

	if (hog->charge == (unsigned long)NONE)
		return hog->added;
	seen = charge(hog);
	return seen > hog->base ? seen - hog->base : 0;
}

/* `add` makes about as many bytes as it is told, and returns its estimate of how many it made. */
static long fill_charge(struct hog *hog, unsigned long to,
			long (*add)(struct hog *hog, unsigned long bytes))
{
	unsigned long seen;
	long ret;

	while ((seen = rise(hog)) < to) {
		/* Kernel memory is not charged (cgroup.memory=nokmem): this would never end. */
		if (hog->added > 2 * to + SEND_BUFFER)
			return -EOPNOTSUPP;
		ret = add(hog, to - seen);
		if (ret < 0 && ret != -EINTR)
			return ret;
		if (ret > 0)
			hog->added += (unsigned long)ret;
	}
	return 0;
}

/* Written data stays while the reading end is open, so the writing end can be closed. */
static long write_or_close(struct hog *hog, unsigned long bytes)
{
	unsigned long pages = round_up(smaller(bytes, MOST_AT_ONCE), PAGE);
	long ret = sys(SYS_write, hog->fd, hog->zeros, pages);

	if (ret != -EAGAIN)
		return ret;
	sys(SYS_close, hog->fd);	/* full */
	hog->fd = NONE;
	return 0;
}

static long add_pipe(struct hog *hog, unsigned long bytes)
{
	int ends[2];
	long ret;

	if (hog->fd == NONE) {
		ret = sys(SYS_pipe2, ends, O_NONBLOCK);
		if (ret < 0)
			return ret;
		hog->fd = ends[1];
		/* Refused above fs.pipe-max-size without CAP_SYS_RESOURCE; then it takes more pipes. */
		sys(SYS_fcntl, hog->fd, F_SETPIPE_SZ, MOST_AT_ONCE);
	}
	return write_or_close(hog, bytes);
}

/* Only TCP and UDP count as `sock`; the buffers of AF_UNIX are charged as slab and pages. */
static long add_socket(struct hog *hog, unsigned long bytes)
{
	int ends[2], size = SEND_BUFFER;
	long ret;

	if (hog->fd == NONE) {
		ret = sys(SYS_socketpair, AF_UNIX, SOCK_STREAM | O_NONBLOCK, 0, ends);
		if (ret < 0)
			return ret;
		hog->fd = ends[1];
		sys(SYS_setsockopt, hog->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	}
	return write_or_close(hog, bytes);
}

/* Empty files: one dentry and one inode each. The name is the file's number in letters. */
static long add_entries(struct hog *hog, unsigned long bytes)
{
	unsigned long i, n, entries = smaller(bytes / ENTRY_BYTES / 2 + 1, ENTRIES_AT_ONCE);
	char name[17], *at;
	long ret;

	for (i = 0; i < entries; i++) {
		at = name;
		for (n = ++hog->objects; n; n /= 16)
			*at++ = (char)('a' + n % 16);
		*at = 0;
		ret = sys(SYS_mknodat, hog->fd, name, S_IFREG | 0600);
		/* The tmpfs has no limit on inodes: it means that the inode could not be charged. */
		if (ret == -ENOSPC)
			return -ENOMEM;
		if (ret < 0)
			return ret;
	}
	return (long)(entries * ENTRY_BYTES);
}

long make_pipes(struct hog *hog)
{
	return begin(hog);
}

long make_sockets(struct hog *hog)
{
	return begin(hog);
}

/* A tmpfs that is not mounted on any path: it goes with the last descriptor, when the hog ends. */
long make_slab(struct hog *hog)
{
	long fs, ret = begin(hog);

	if (ret < 0)
		return ret;
	fs = sys(SYS_fsopen, "tmpfs");
	if (fs < 0)
		return fs;
	ret = sys(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "0");
	if (ret >= 0)
		ret = sys(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE);
	if (ret >= 0)
		ret = hog->fd = sys(SYS_fsmount, fs);
	sys(SYS_close, fs);
	return ret < 0 ? ret : 0;
}

long fill_pipes(struct hog *hog, unsigned long from, unsigned long to)
{
	(void)from;
	return fill_charge(hog, to, add_pipe);
}

long fill_sockets(struct hog *hog, unsigned long from, unsigned long to)
{
	(void)from;
	return fill_charge(hog, to, add_socket);
}

long fill_slab(struct hog *hog, unsigned long from, unsigned long to)
{
	(void)from;
	return fill_charge(hog, to, add_entries);
}

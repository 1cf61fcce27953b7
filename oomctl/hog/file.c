// SPDX-License-Identifier: GPL-2.0-only
/* Page cache: a new file that is written, or an existing one that is read. */
#include "hog.h"

enum { POSIX_FADV_DONTNEED = 4 };

long make_file(struct hog *hog)
{
	if (!hog->path) {
		hog->fd = (long)hog->file;
		return make_zeros(hog);
	}
	/* O_NONBLOCK, so that a FIFO does not wait for its writer; fadvise64() refuses it. */
	hog->fd = sys(SYS_openat, AT_FDCWD, hog->path, O_RDONLY | O_NONBLOCK);
	if (hog->fd < 0)
		return hog->fd;
	/* Pages that are cached already are charged to another cgroup; drop them. */
	return sys(SYS_fadvise64, hog->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* Into /dev/null, so that the data needs no buffer, which would be charged too. */
static long read_piece(struct hog *hog, unsigned long bytes)
{
	long ret, null = sys(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY);

	for (ret = null; bytes && ret >= 0; bytes -= (unsigned long)ret) {
		ret = sys(SYS_sendfile, null, hog->fd, 0, bytes);
		if (!ret)
			ret = -ENODATA;	/* the file is shorter */
		if (ret == -EINTR)
			ret = 0;
	}
	sys(SYS_close, null);
	return ret < 0 ? ret : 0;
}

static long write_piece(struct hog *hog, unsigned long bytes)
{
	long ret;

	for (; bytes; bytes -= (unsigned long)ret) {
		ret = sys(SYS_write, hog->fd, hog->zeros, smaller(bytes, MOST_AT_ONCE));
		if (ret == -EINTR)
			ret = 0;
		if (ret < 0)
			return ret;
	}
	return sys(SYS_fdatasync, hog->fd);
}

long fill_file(struct hog *hog, unsigned long from, unsigned long to)
{
	return hog->path ? read_piece(hog, to - from) : write_piece(hog, to - from);
}

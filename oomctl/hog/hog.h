/* SPDX-License-Identifier: GPL-2.0-only */
/* What a hog is told to be, and the parts that hogs of every kind are put together from. */
#ifndef OOMCTL_HOG_H
#define OOMCTL_HOG_H

#include "sys.h"

enum { NONE = -1, PAGE = 4096, HUGE_PAGE = 2 << 20, MOST_AT_ONCE = 1 << 20 };
/* Where a piece may begin: a multiple of every page size that the architecture has. */
#if defined(__aarch64__)
enum { GRAIN = 65536 };
#else
enum { GRAIN = PAGE };
#endif

/* Why a task of a hog ends itself: its exit status. Equal to HogExit in oomctl/oom/hogexit.py. */
enum hog_exit { DONE = 0, FAILED, USAGE, NO_CHILD, NO_PARENT, CHILD_KILLED };

struct kind;

struct hog {
	/* As told; descriptors are NONE where there is nothing to pass. */
	const char *name, *adj, *path;
	const struct kind *kind;
	unsigned long parent;		/* who it dies with; 0 is nobody */
	unsigned long size, rate;	/* bytes, bytes a second */
	unsigned long thp, touch;	/* yes or no; bytes to be touched over and over */
	unsigned long tasks, hold;	/* threads or children; nanoseconds */
	unsigned long report, procs, charge, sharer, leash, file;

	/* As done. */
	char *memory;			/* what it has mapped */
	const char *zeros;		/* MOST_AT_ONCE bytes to write from */
	long fd;			/* the file, pipe, socket or mount it fills */
	unsigned long base;		/* what its cgroup was charged before */
	unsigned long added;		/* bytes of kernel memory it believes to hold */
	unsigned long objects;
	unsigned long filled, took, lost;	/* bytes, nanoseconds, nanoseconds */
	int child, status;		/* who was killed while it filled, and by what */
};

/* Returns 0 or a negative errno. */
typedef long fill_piece(struct hog *hog, unsigned long from, unsigned long to);

struct kind {
	const char *name;
	long (*make)(struct hog *hog);	/* what is to be filled; NULL: nothing to make */
	fill_piece *piece;		/* a piece of it */
	long (*fill)(struct hog *hog);	/* all of it, by pieces */
	void (*rest)(struct hog *hog);	/* does not return */
};

/* A stretch to be filled at `rate`; `from` moves, `lost` is the delay that was never made up. */
struct stretch {
	unsigned long from, to, rate, lost;
};

/* pace.c */
unsigned long now(void);
void sleep_until(unsigned long when);
long pace(struct hog *hog, struct stretch *stretch);
long fill_alone(struct hog *hog);

/* memory.c */
long map_private(unsigned long bytes), make_zeros(struct hog *hog);
long make_anon(struct hog *hog), make_shmem(struct hog *hog), make_hugetlb(struct hog *hog);
fill_piece populate, populate_shmem, populate_locked;
_Noreturn void touch(char *memory, unsigned long bytes);
void rest(struct hog *hog);

/* file.c */
long make_file(struct hog *hog);
fill_piece fill_file;

/* charge.c: kernel memory that belongs to no task */
long make_pipes(struct hog *hog), make_sockets(struct hog *hog), make_slab(struct hog *hog);
fill_piece fill_pipes, fill_sockets, fill_slab;

/* tasks.c */
long fill_by_threads(struct hog *hog), fill_by_children(struct hog *hog);
void leave_to_threads(struct hog *hog), replace_children(struct hog *hog);
long share(struct hog *hog);
void die_with(unsigned long parent);

/* tracer.c */
long be_traced(struct hog *hog);

/* text.c */
unsigned long length(const char *text);
int same(const char *a, const char *b);
unsigned long number(const char *text);
const char *after(const char *word, const char *key);

static inline unsigned long smaller(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

static inline unsigned long round_up(unsigned long bytes, unsigned long unit)
{
	return (bytes + unit - 1) / unit * unit;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* The arguments and the state of a hog, and the functions that the kinds are made of. */
#ifndef OOMCTL_HOG_H
#define OOMCTL_HOG_H

#include "../freestanding/process.h"
#include "../freestanding/text.h"

enum { NONE = -1, PAGE = 4096, HUGE_PAGE = 2 << 20, MOST_AT_ONCE = 1 << 20 };
/* A piece begins at a multiple of this: of every page size that the architecture has. */
#if defined(__aarch64__)
enum { GRAIN = 65536 };
#else
enum { GRAIN = PAGE };
#endif

/* The exit status of a hog and of its tasks. Equal to HogExit in oomctl/oom/hogexit.py. */
enum hog_exit { DONE = 0, FAILED, USAGE, NO_CHILD, NO_PARENT, CHILD_KILLED };

struct kind;

struct hog {
	/* The arguments; a descriptor that is not passed is NONE. */
	const char *name, *adj, *path;
	const struct kind *kind;
	unsigned long parent;		/* the process it dies with; 0: none */
	unsigned long size, rate;	/* bytes, bytes a second */
	unsigned long thp, touch;	/* 0 or 1; bytes to touch again and again */
	unsigned long tasks, hold;	/* threads or children; nanoseconds */
	unsigned long exits;		/* 0 or 1: the first thread ends before the others */
	unsigned long report, procs, charge, sharer, leash, file;

	/* The state. */
	char *memory;			/* the mapping */
	const char *zeros;		/* MOST_AT_ONCE bytes to write from */
	long fd;			/* the file, pipe, socket or mount it fills */
	unsigned long base;		/* the charge of its cgroup before */
	unsigned long added;		/* estimated bytes of kernel memory */
	unsigned long objects;
	unsigned long filled, took, lost;	/* bytes, nanoseconds, nanoseconds */
	int child, status;		/* a child killed while it filled; wait status */
};

/* Returns 0 or a negative errno. */
typedef long fill_piece(struct hog *hog, unsigned long from, unsigned long to);

struct kind {
	const char *name;
	long (*make)(struct hog *hog);	/* makes what is to be filled */
	fill_piece *piece;		/* fills a piece */
	long (*fill)(struct hog *hog);	/* fills all, piece by piece */
	void (*rest)(struct hog *hog);	/* does not return */
};

/* A range to fill at `rate`; `from` advances, `lost` is the delay that was not made up for. */
struct range {
	unsigned long from, to, rate, lost;
};

/* pace.c */
long pace(struct hog *hog, struct range *range);
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
void wait_for_threads(struct hog *hog), replace_children(struct hog *hog);
long share(struct hog *hog);
void die_with(unsigned long parent);

/* tracer.c */
long be_traced(struct hog *hog);

static inline unsigned long smaller(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

static inline unsigned long round_up(unsigned long bytes, unsigned long unit)
{
	return (bytes + unit - 1) / unit * unit;
}

#endif

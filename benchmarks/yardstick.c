// SPDX-License-Identifier: GPL-2.0-only
/*
 * What C does at its best, beside which oomctl is measured.
 *
 *	yardstick fill populate|touch BYTES [thp]	fill private memory, and end
 *	yardstick idle					wait to be killed
 *	yardstick spawn COUNT HOG PROCS			start hogs of 0 bytes, end them when all are ready
 *	yardstick limit COUNT PROCS BYTES		children that join and fill until the kernel kills
 *	yardstick tree COUNT BYTES PROCS...		COUNT children in each cgroup, ended when all are full
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { HUGE_PAGE = 2 << 20, PAGE = 4096 };

/* Equal to the report of oomctl/hog/hog.c; READY is its last step. */
enum { READY = 7 };
struct report {
	int step, error, child, status;
	unsigned long filled, took, lost;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void fill(int populate, unsigned long bytes, int thp)
{
	char *memory = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap");
	memory += -(unsigned long)memory % HUGE_PAGE;
	madvise(memory, bytes, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (populate && madvise(memory, bytes, MADV_POPULATE_WRITE))
		fail("MADV_POPULATE_WRITE");
	for (unsigned long at = 0; !populate && at < bytes; at += PAGE)
		*(volatile char *)(memory + at) = 1;
}

static void wait_until_ready(int reader)
{
	struct report report = { 0 };

	while (report.step != READY)
		if (read(reader, &report, sizeof(report)) != sizeof(report) || report.error)
			fail("hog");
	close(reader);
}

static void spawn(int count, char *hog, const char *procs)
{
	pid_t *pids = calloc(count, sizeof(*pids));
	int *readers = calloc(count, sizeof(*readers));

	for (int at = 0; at < count; at++) {
		char report_word[32], procs_word[32], parent_word[32];
		char *words[] = { hog, "hog", "kind=anon", "adj=0", "size=0",
				  report_word, procs_word, parent_word, NULL };
		char *nothing[] = { NULL };
		posix_spawn_file_actions_t actions;
		posix_spawnattr_t attributes;
		int pipe_ends[2], fd = open(procs, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || pipe2(pipe_ends, O_CLOEXEC))
			fail(procs);
		sprintf(report_word, "report=%d", pipe_ends[1]);
		sprintf(procs_word, "procs=%d", fd);
		sprintf(parent_word, "parent=%d", getpid());
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, fd, fd);
		posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], pipe_ends[1]);
		posix_spawnattr_init(&attributes);
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
		if (posix_spawn(&pids[at], hog, &actions, &attributes, words, nothing))
			fail(hog);
		posix_spawn_file_actions_destroy(&actions);
		close(fd);
		close(pipe_ends[1]);
		readers[at] = pipe_ends[0];
	}
	for (int at = 0; at < count; at++)
		wait_until_ready(readers[at]);
	for (int at = 0; at < count; at++)
		kill(pids[at], SIGKILL);
	for (int at = 0; at < count; at++)
		waitpid(pids[at], NULL, 0);
}

static void join(const char *procs)
{
	int fd = open(procs, O_WRONLY);

	if (fd < 0 || write(fd, "0", 1) != 1)
		fail(procs);
	close(fd);
}

static void limit(int count, const char *procs, unsigned long bytes)
{
	for (int at = 0; at < count; at++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			fail("fork");
		if (!pid) {
			join(procs);
			fill(0, bytes, 0);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
			fail("a child that should have been killed");
	}
}

static void tree(int count, unsigned long bytes, int cgroups, char **procs)
{
	pid_t *pids = calloc((size_t)count * cgroups, sizeof(*pids));
	int pipe_ends[2];
	char byte;

	if (pipe(pipe_ends))
		fail("pipe");
	for (int at = 0; at < count * cgroups; at++) {
		if ((pids[at] = fork()) < 0)
			fail("fork");
		if (!pids[at]) {
			join(procs[at / count]);
			fill(1, bytes, 0);
			if (write(pipe_ends[1], "r", 1) == 1)
				pause();
			_exit(1);
		}
	}
	for (int at = 0; at < count * cgroups; at++)
		if (read(pipe_ends[0], &byte, 1) != 1)
			fail("a child");
	for (int at = 0; at < count * cgroups; at++)
		kill(pids[at], SIGKILL);
	for (int at = 0; at < count * cgroups; at++)
		waitpid(pids[at], NULL, 0);
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "fill"))
		fill(!strcmp(argv[2], "populate"), strtoul(argv[3], NULL, 10), argc > 4);
	else if (argc == 5 && !strcmp(argv[1], "spawn"))
		spawn(atoi(argv[2]), argv[3], argv[4]);
	else if (argc == 5 && !strcmp(argv[1], "limit"))
		limit(atoi(argv[2]), argv[3], strtoul(argv[4], NULL, 10));
	else if (argc > 4 && !strcmp(argv[1], "tree"))
		tree(atoi(argv[2]), strtoul(argv[3], NULL, 10), argc - 4, argv + 4);
	else if (argc == 2 && !strcmp(argv[1], "idle"))
		pause();
	else
		return 2;
	return 0;
}

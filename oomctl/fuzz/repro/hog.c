#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct hog {
	const char *name, *kind, *cgroup, *sharer;
	int adj, tasks;
	size_t size;
};

static volatile int has_joined;

static void put(const char *folder, const char *file, const char *text)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(2, "cannot write '%s' to %s", text, path);
	close(fd);
}

static int sleep_in(void *cgroup)
{
	if (cgroup)
		put(cgroup, "cgroup.procs", "0");
	has_joined = 1;
	while (pause())
		;
	return 0;
}

static void add_task(int flags, const char *cgroup)
{
	char *stack = malloc(65536);

	if (!stack || clone(sleep_in, stack + 65536, CLONE_VM | flags, (void *)cgroup) < 0)
		err(2, "clone");
}

static void fill(const struct hog *hog)
{
	int flags = strcmp(hog->kind, "shmem") ? MAP_PRIVATE : MAP_SHARED;
	char *memory;

	if (!hog->size)
		return;
	memory = mmap(NULL, hog->size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(2, "mmap");
	madvise(memory, hog->size, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < hog->size; at += 4096)
		memory[at] = 1;
	if (!strcmp(hog->kind, "mlock") && mlock(memory, hog->size))
		err(2, "mlock");
}

static void run(const struct hog *hog, int ready)
{
	char adj[16];

	put(hog->cgroup, "cgroup.procs", "0");
	snprintf(adj, sizeof(adj), "%d", hog->adj);
	put("/proc/self", "oom_score_adj", adj);
	prctl(PR_SET_NAME, hog->name);
	fill(hog);
	for (int task = 1; task < hog->tasks; task++)
		add_task(CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL);
	if (!strcmp(hog->kind, "shared")) {
		add_task(SIGCHLD, hog->sharer);
		while (!has_joined)
			usleep(1000);
	}
	if (write(ready, "r", 1) != 1)
		err(2, "write");
	if (!strcmp(hog->kind, "stopped"))
		raise(SIGSTOP);
	for (;;)
		pause();
}

/* Start a hog and return its pid once it is filled. */
static pid_t start(const struct hog *hog, int dies_with_us)
{
	char byte;
	int ready[2];
	pid_t pid;

	if (pipe(ready) || (pid = fork()) < 0)
		err(2, "fork");
	if (!pid) {
		if (dies_with_us)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		else
			close(STDOUT_FILENO);
		run(hog, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(2, "the hog %s died before it was filled", hog->name);
	close(ready[0]);
	return pid;
}

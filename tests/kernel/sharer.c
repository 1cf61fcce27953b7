/* Two processes with one memory (CLONE_VM), which may live in different cgroups. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static char stack[1 << 16];

static int share(void *unused)
{
	for (;;)
		pause();
	return unused != NULL;
}

int main(int argc, char **argv)
{
	size_t size = (size_t)atol(argv[argc - 1]) << 20;
	char *memory;
	int pid;

	/* The hierarchy is entered before memory is touched. */
	getchar();
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(memory, 1, size);
	pid = clone(share, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	printf("%d\n", pid);
	fflush(stdout);
	for (;;)
		pause();
}

struct setting {
	const char *cgroup, *file, *value;
	int optional;
};

struct call {
	const char *cgroup;
	int by_limit, order;
	unsigned long long flags;
	long long amount;
	const char *expected; /* who dies, by the model: " name name " */
};

/*@TABLES@*/

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static char *at(const char *cgroup)
{
	char *path;

	if (asprintf(&path, "/sys/fs/cgroup%s", cgroup) < 0)
		err(2, "asprintf");
	return path;
}

static void set_up(const char *cgroup)
{
	for (size_t i = 0; i < COUNT(settings); i++) {
		const struct setting *one = &settings[i];
		char *file;

		if (strcmp(one->cgroup, cgroup))
			continue;
		if (asprintf(&file, "%s/%s", at(cgroup), one->file) < 0)
			err(2, "asprintf");
		if (!one->optional || !access(file, F_OK))
			put(at(cgroup), one->file, one->value);
	}
}

static long long current(const char *cgroup)
{
	char path[4096];
	long long bytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/memory.current", cgroup);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lld", &bytes) != 1)
		err(2, "%s", path);
	fclose(file);
	return bytes;
}

static void lower_limit(const struct call *call, const char *cgroup)
{
	char limit[32], was[32] = "max";

	for (size_t i = 0; i < COUNT(settings); i++)
		if (!strcmp(settings[i].cgroup, call->cgroup) && !strcmp(settings[i].file, "memory.max"))
			snprintf(was, sizeof(was), "%s", settings[i].value);
	snprintf(limit, sizeof(limit), "%lld", current(cgroup) - call->amount);
	put(cgroup, "memory.max", limit);
	put(cgroup, "memory.max", was);
}

static void declare(const struct call *call, const char *cgroup, const char *command)
{
	char text[64];
	struct stat found;

	if (stat(cgroup, &found))
		err(2, "%s", cgroup);
	if (!command) {
		printf("bpf_out_of_memory(cgroup %s with id %llu, order %d, flags %llu), then press Enter\n",
		       cgroup, (unsigned long long)found.st_ino, call->order, call->flags);
		getchar();
		return;
	}
	setenv("CGROUP", cgroup + strlen("/sys/fs/cgroup"), 1);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)found.st_ino);
	setenv("CGROUP_ID", text, 1);
	snprintf(text, sizeof(text), "%d", call->order);
	setenv("ORDER", text, 1);
	snprintf(text, sizeof(text), "%llu", call->flags);
	setenv("FLAGS", text, 1);
	if (system(command) < 0)
		err(2, "%s", command);
}

int main(int argc, char **argv)
{
	pid_t pids[COUNT(hogs)];
	int dead[COUNT(hogs)] = { 0 }, differs = 0;
	char *root;

	setvbuf(stdout, NULL, _IONBF, 0);
	set_up("/");
	for (size_t i = 0; i < COUNT(cgroups); i++) {
		if (mkdir(at(cgroups[i]), 0755))
			err(2, "%s", at(cgroups[i]));
		set_up(cgroups[i]);
	}
	for (size_t i = 0; i < COUNT(hogs) && hogs[i].name; i++) {
		struct hog hog = hogs[i];

		hog.cgroup = at(hog.cgroup);
		hog.sharer = hog.sharer ? at(hog.sharer) : NULL;
		pids[i] = start(&hog, 1);
		printf("hog %s is pid %d\n", hog.name, pids[i]);
	}
	for (size_t i = 0; i < COUNT(calls); i++) {
		const char *cgroup = at(calls[i].cgroup);

		if (calls[i].by_limit)
			lower_limit(&calls[i], cgroup);
		else
			declare(&calls[i], cgroup, argc > 1 ? argv[1] : NULL);
		sleep(1);
		printf("call %zu: the model:%s; died:", i + 1, calls[i].expected);
		for (size_t j = 0; j < COUNT(hogs) && hogs[j].name; j++) {
			char name[32];
			int was = dead[j];

			snprintf(name, sizeof(name), " %s ", hogs[j].name);
			if (!was && waitpid(pids[j], NULL, WNOHANG) == pids[j]) {
				dead[j] = 1;
				printf(" %s", hogs[j].name);
			}
			/* a limit may take more until the usage is below it */
			if (!was && (dead[j] ? !calls[i].by_limit && !strstr(calls[i].expected, name) :
					       !!strstr(calls[i].expected, name)))
				differs = 1;
		}
		printf("\n");
	}
	root = at(cgroups[0]);
	put(root, "cgroup.kill", "1");
	sleep(1);
	for (size_t i = COUNT(cgroups); i-- > 0;)
		if (rmdir(at(cgroups[i])))
			warn("%s", at(cgroups[i]));
	puts(differs ? "differs" : "as the model says");
	return differs;
}

/* NAME KIND CGROUP ADJ SIZE TASKS [SHARER]: prints the pid once the hog is filled. */
int main(int argc, char **argv)
{
	struct hog hog = { 0 };

	if (argc < 7)
		return 2;
	hog.name = argv[1];
	hog.kind = argv[2];
	hog.cgroup = argv[3];
	hog.adj = atoi(argv[4]);
	hog.size = strtoull(argv[5], NULL, 10);
	hog.tasks = atoi(argv[6]);
	hog.sharer = argv[7];
	printf("%d\n", start(&hog, 0));
	return 0;
}

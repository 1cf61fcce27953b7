"""A hog, and what several faults say."""

HOG = '[hog.a]\nsize = "1M"\n'
COMM = "use 1 to 15 letters, digits, '_' or '-' (the kernel's comm holds 15)"
SIZE = "write bytes, or K, M, G as powers of 1024 (such as 64M)"
LEAVES = "has child cgroups, and the kernel allows processes in leaves only"
CGROUP = "'.' is the top; else write names with '/' in between, without '..' and newlines"

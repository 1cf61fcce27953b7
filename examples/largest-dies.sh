#!/bin/sh
# Three hogs of different size in one cgroup: the largest dies, the others live.
exec oomctl declare --hog small=8M --hog medium=16M --hog large=32M

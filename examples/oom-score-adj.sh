#!/bin/sh
# One point of oom_score_adj weighs a thousandth of memory.max: 1000 points of 64M outweigh the
# 30M that lie between these two, so the small one dies.
exec oomctl declare --memory-max 64M --hog small=10M,adj=1000 --hog large=40M

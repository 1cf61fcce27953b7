#!/bin/sh
# Three declarations on one cgroup, each after the victim before is gone: three different victims.
exec oomctl declare --repeat 3 --hog a=8M --hog b=16M --hog c=24M

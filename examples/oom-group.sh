#!/bin/sh
# memory.oom.group: all die together, but for the one at -1000.
exec oomctl declare --oom-group --hog one=8M --hog two=16M --hog safe=8M,adj=-1000

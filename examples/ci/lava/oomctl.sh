#!/bin/sh
# oomctl.sh WHEEL [CASE...]: install oomctl if it is not there, and run the suite.
# On a LAVA device the signals go to the console. Elsewhere result.txt is for send-to-lava.sh.
wheel=$1
shift
command -v oomctl >/dev/null || pip install --quiet "$wheel" || exit 1
if command -v lava-test-case >/dev/null; then
    oomctl smoke "$@" -f lava
else
    mkdir -p output && oomctl smoke "$@" -f lava-lines | tee output/result.txt
fi
exit 0 # the results are in the signals; another status would fail the job too

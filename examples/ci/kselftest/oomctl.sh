#!/bin/sh
# kselftest: copy this file into a folder of tools/testing/selftests and name it in TEST_PROGS.
# Words after it are groups or cases of `oomctl smoke --list`. The exit code is 0, 1, or 4 to skip.
command -v oomctl >/dev/null || { echo "1..0 # SKIP oomctl is not installed"; exit 4; }
exec oomctl smoke "$@" -f ktap --exit-codes kselftest

#!/bin/sh
# Every order that the kernel takes, and the two beside them that it must refuse with -EINVAL.
# oomctl ends with 0 if somebody died, and with 1 if the kernel refused.
for order in -1 0 1 9 10 11; do
    case $order in -1|11) want=1 ;; *) want=0 ;; esac
    got=0
    oomctl declare --order "$order" --hog 4M --output /dev/null || got=$?
    echo "order $order: exit $got, expected $want"
    [ "$got" = "$want" ] || failed=yes
done
[ -z "${failed-}" ]

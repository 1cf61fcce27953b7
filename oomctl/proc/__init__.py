"""Processes: /proc, /dev/kmsg, pidfds, children, capabilities and other programs."""

"""The edge: cgroupfs, bpf(2), processes and the kernel log; everything here does I/O."""

"""BPF: libbpf, the kernel's BTF, and one module for each program in bpf/."""

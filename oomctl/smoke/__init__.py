"""Does this kernel keep the contract of bpf_out_of_memory()? Small cases, each in its own tree."""

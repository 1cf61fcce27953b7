"""The model: what an experiment is, what the kernel should do, what it did, and what that means."""

"""The kfunc as a module for a stock kernel: build it, load it, take it out again."""

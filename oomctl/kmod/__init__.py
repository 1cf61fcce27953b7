"""The kfunc as a module for a stock kernel: build, load and unload it."""

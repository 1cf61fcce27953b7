"""One experiment: its session, its steps, what it changes, calls, watches and cleans up."""

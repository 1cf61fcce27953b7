"""The journal of what a running oomctl has made or changed and not yet undone."""

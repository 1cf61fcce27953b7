"""The cases, a module for each group: `CASES` are in the order in which they are run."""

"""The cases, one module for each group; `CASES` has them in the order in which they run."""

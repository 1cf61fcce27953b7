"""`make bench`: oomctl beside its peers, in one run, each in turn. No part of oomctl."""

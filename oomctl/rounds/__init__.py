"""Many rounds of an experiment: their record, their statistics, what differs between two."""

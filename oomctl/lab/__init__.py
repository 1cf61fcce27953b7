"""The lab: a VM whose kernel has the kfunc."""

"""Runs oomctl on many machines by Ansible."""

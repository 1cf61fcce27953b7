"""Random experiments against the model; what differs is shrunk to the smallest scenario."""

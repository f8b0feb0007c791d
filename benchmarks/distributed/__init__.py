"""Training, search and duplicates on a cluster of this machine, beside one process, and a model of the time of a step."""

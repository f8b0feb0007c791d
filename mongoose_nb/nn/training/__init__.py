"""How a network is trained: the loop, batches, optimisers, learning-rate schedules, callbacks."""

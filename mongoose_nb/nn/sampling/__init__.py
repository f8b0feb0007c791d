"""Which outputs of a wide layer a training step computes: samplers, candidate sets, corrections, and the tables behind them."""

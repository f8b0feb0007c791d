"""The Flower app of the loopback test: a server with the strategy, and devices of which one dies in the second round."""

import os
import time

import numpy as np
from flwr.serverapp import ServerApp
from recommend.test_flower import CAPACITIES, HELD, SHAPE, train

from mongoose_nb.compress.fair import FairServer
from mongoose_nb.recommend.flower import FairStrategy, client_app

server = ServerApp()


@server.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < len(HELD):
        time.sleep(0.2)
    strategy = FairStrategy(FairServer(np.zeros(SHAPE), CAPACITIES, seed=3), {"bias": np.zeros(2)})
    strategy.start(grid, strategy.arrays(), num_rounds=2, timeout=60)
    part = context.run_config["out"] + ".part.npz"
    np.savez(part, table=strategy.server.table, bias=strategy.dense["bias"], answered=strategy.answered)
    os.replace(part, context.run_config["out"])


def own(cells, space, dense, config, context):
    node = context.node_config["node"]
    if node == 3 and config["server-round"] == 2:
        os.kill(os.getpid(), 9)
    return train(node, cells, space, dense)


client = client_app(own)

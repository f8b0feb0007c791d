"""The commands behind `mongoose_nb.cli`, one module each with ``run(args)``. Loaded when a command runs, not before.

::

    cli.py (argparse) --options.py--> args --> demo  train  evaluate  predict  info
                                                 |     |        |        |      |
                                   warm.py  <----+-----+--------+--------+      +--> system.py   versions, machine
                                   datasets.py  <------+--------+--------+           files -> Dataset, fingerprints
                                   runs.py  <----------+--------+--------+           the directory a run writes

Results go to stdout, everything else to stderr (`console.py`).
"""

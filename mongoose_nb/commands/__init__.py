"""The commands of the program `mongoose`: one module each, with ``run(args)``, imported when the command runs.

::

    cli.py (argparse) --options.py--> args --> demo  train  evaluate  predict  report  info
                                                 |     |        |        |       |       |
                                                 |     |        |        |       |       +--> system.py   versions, machine
                                                 |     |        |        |       +--> page.py --> charts.py   runs.py -> HTML
                                   warm.py  <----+-----+--------+--------+
                                   datasets.py  <------+--------+--------+           files -> Dataset, fingerprints
                                   runs.py  <----------+--------+--------+           the directory a run writes

Results go to stdout, everything else to stderr (`console.py`).
"""

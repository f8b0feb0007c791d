"""Which of 4,271 EuroVoc subjects does an EU law have? Extreme multi-label classification on EURLEX57K.

    python examples/eurlex.py FOLDER      with train.txt.gz and test.txt.gz in the Extreme Classification Repository's format
    python examples/eurlex.py demo        the sample that comes with the package
"""

import pathlib

from common import arguments, compare

from mongoose_nb import data

args = arguments(__doc__, epochs=10, candidates=400)
if args.data == "demo":
    compare(args, *data.load_demo())
else:
    folder = pathlib.Path(args.data)
    compare(args, *data.read_xc(folder / "train.txt.gz"), *data.read_xc(folder / "test.txt.gz"))

"""What will a visitor click next? Next-item recommendation from click sessions.

    python examples/sessions.py FOLDER      with train.txt.gz and test.txt.gz: a session prefix a row, its label the next item
    python examples/sessions.py FILE        a session a line, item ids apart by spaces; the last tenth is the test
"""

import pathlib

import numpy as np
from common import arguments, compare

from mongoose_nb import data

args = arguments(__doc__, epochs=1, candidates=1000)
path = pathlib.Path(args.data)
if path.is_dir():
    compare(args, *data.read_xc(path / "train.txt.gz"), *data.read_xc(path / "test.txt.gz"))
else:
    sessions = [np.array(line.split(), np.int64) for line in path.read_text().splitlines() if len(line.split()) > 1]
    n_items = 1 + max(int(s.max()) for s in sessions)
    cut = len(sessions) * 9 // 10
    compare(args, *data.sessions_to_xc(sessions[:cut], n_items), *data.sessions_to_xc(sessions[cut:], n_items))

"""Which word comes next? A language model with a wide softmax on the text of EU laws.

    python examples/next_word.py FOLDER      with eurlex57k_train.jsonl.xz and eurlex57k_test.jsonl.xz (one law a line, key "text")
    python examples/next_word.py FILE.txt    any plain text; its last tenth is the test
"""

import json
import lzma
import pathlib

from common import arguments, compare

from mongoose_nb import data

WINDOW = 4  # words looked back at
MAX_LAWS = 4000


def laws(path, most):
    """The texts of the first laws of a file."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line, _ in zip(file, range(most))]


args = arguments(__doc__, epochs=1, candidates=1000)
path = pathlib.Path(args.data)
if path.is_dir():
    train, test = laws(path / "eurlex57k_train.jsonl.xz", MAX_LAWS), laws(path / "eurlex57k_test.jsonl.xz", MAX_LAWS // 20)
else:
    text = path.read_text()
    train, test = [text[: len(text) * 9 // 10]], [text[len(text) * 9 // 10:]]
vocabulary = data.Vocabulary.build(train, min_count=1)
pairs = [data.next_word([vocabulary.encode(t) for t in texts], WINDOW, len(vocabulary), skip_labels=[vocabulary.unknown_id])
         for texts in (train, test)]
compare(args, *pairs[0], *pairs[1])

"""Put a benchmark's output into a document, between its markers: figures there are never typed."""

import pathlib
import time


def write_block(path, name, text, *, markdown=False):
    """Replace what stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->`` in a document by `text`.

    Text is dated and set in a block of code, unless it is `markdown`.
    """
    path = pathlib.Path(path)
    document = path.read_text(encoding="utf-8")
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    if begin not in document or end not in document:
        raise ValueError(f"{path} has no markers {begin} and {end}")
    head, rest = document.split(begin, 1)
    tail = rest.split(end, 1)[1]
    block = f"\n{text.rstrip()}\n" if markdown else f"\n```text\n{text.rstrip()}\nmeasured {time.strftime('%Y-%m-%d')}\n```\n"
    path.write_text(f"{head}{begin}{block}{end}{tail}", encoding="utf-8")

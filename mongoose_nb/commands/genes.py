"""`mongoose genes`: index files of sequences, add to the index, find the documents of reads, describe the index.

An index is a folder of parts, each a file of a `COBSIndex`. A part is written when it is complete, so a run that was killed has lost one
part at most, and the same command goes on. The plan of a run that has not finished is in the file `PLAN`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import time
from collections.abc import Callable

from mongoose_nb.commands.console import json_line, note, result, to_json
from mongoose_nb.commands.values import INTEGER, NUMBER
from mongoose_nb.commands.warm import threads
from mongoose_nb.core.files import remove_leftovers
from mongoose_nb.core.outputs import REPLACED, check_directory, check_no_input, replacement
from mongoose_nb.core.validation import check_number

PLAN = "unfinished.json"
#: reads that are looked up at once
BATCH = 10_000
#: letters of a part, by default
PART = 256


def add_arguments(parser: argparse.ArgumentParser, common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the four subcommands. `common(sub)` adds the options of every command."""
    parts = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name, text):
        sub = parts.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        sub.set_defaults(parser=sub)
        common(sub)
        return sub

    index = action("index", "index files of sequences (FASTA or FASTQ, plain or compressed); a run that was killed goes on")
    add = action("add", "add files to an index")
    for sub in (index, add):
        if sub is add:
            sub.add_argument("index", metavar="INDEX", help="folder of mongoose genes index")
        sub.add_argument("data", metavar="FOLDER", nargs="+", help="folders and files; - for stdin. Each file is a document")
        sub.add_argument("--records", action="store_true", help="each record is a document, of the name in its header")
        sub.add_argument("--part", type=INTEGER, default=PART, metavar="MB", help=f"letters of a part, in millions (default {PART}); "
                         "memory is about four times that")
    index.add_argument("-o", "--out", required=True, metavar="INDEX", help="folder to write")
    index.add_argument("--overwrite", action="store_true", help="replace an index")
    index.add_argument("--k", type=INTEGER, default=31, help="letters of a k-mer (default 31)")
    index.add_argument("--hashes", type=INTEGER, default=4, metavar="N", help="bits of a k-mer (default 4)")
    index.add_argument("--fpr", type=NUMBER, default=0.1, help="false-positive rate of a k-mer (default 0.1)")
    index.add_argument("--window", type=INTEGER, default=512, metavar="BITS", help="window of the IDL hash (default 512)")
    index.add_argument("--random", action="store_true", help="random addresses instead of the IDL hash")
    index.add_argument("--seed", type=INTEGER, default=0, help="seed of the hash (default 0)")

    query = action("query", "print the documents that have the k-mers of reads: query, document, share of k-mers, rank")
    query.add_argument("index", metavar="INDEX", help="folder of mongoose genes index")
    query.add_argument("data", metavar="READS", help="file of sequences; - for stdin")
    query.add_argument("--threshold", type=NUMBER, default=0.8, help="share of the k-mers that a document must have (default 0.8)")
    query.add_argument("--best", type=INTEGER, metavar="N", help="print documents of rank N at most")

    stats = action("stats", "print what an index is and how full its filters are")
    stats.add_argument("index", metavar="INDEX", help="folder of mongoose genes index")


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    with threads(getattr(args, "threads", None)):
        {"index": _index, "add": _add, "query": _query, "stats": _stats}[args.action](args)


def _parts(folder):
    return sorted(pathlib.Path(folder).glob("part-*.mongoose"))


def _open(folder, *, finished=True):
    """All parts, mapped, as one index."""
    from mongoose_nb.sketch import COBSIndex

    folder = pathlib.Path(folder)
    parts = _parts(folder)
    if not parts:
        raise FileNotFoundError(f"{folder}: no index; mongoose genes index FOLDER -o {folder} makes one")
    if finished and (folder / PLAN).exists():
        note(f"{folder}: a run on this index has not finished; give its command again to go on")
    index = COBSIndex.load(parts[0], mmap=True)
    for part in parts[1:]:
        index.merge(COBSIndex.load(part, mmap=True))
    return index


def _index(args):
    from mongoose_nb.core.registry import describe
    from mongoose_nb.sketch import COBSIndex, IDLHash, RandomHash

    common = {"k": args.k, "n_hashes": args.hashes, "seed": args.seed}
    hasher = RandomHash(**common) if args.random else IDLHash(**common, window=args.window, t=max(1, (args.k + 1) // 2))
    COBSIndex(hasher, fpr=args.fpr)  # refuses wrong settings before a folder is made
    plan = {"hasher": describe(hasher), "fpr": args.fpr, "data": [os.path.abspath(path) if path != "-" else path for path in args.data],
            "records": args.records}
    folder = check_directory("-o", args.out)
    _check_data(args)
    if args.overwrite and folder.exists():
        if any(file.name not in (PLAN, REPLACED) and not file.name.startswith("part-") for file in folder.iterdir()):
            raise FileExistsError(f"{folder} has other files than those of an index; give another folder")
    elif _parts(folder) and (folder / PLAN).exists():
        if json.loads((folder / PLAN).read_text(encoding="utf-8")) != plan:
            raise ValueError(f"{folder} has an unfinished run with other settings or data; give the same command again, or --overwrite")
        _fill(args, folder, hasher, args.fpr)
        (folder / PLAN).unlink()
        return
    elif folder.exists() and any(file.name not in (PLAN, REPLACED) for file in folder.iterdir()):
        raise FileExistsError(f"{folder} exists; mongoose genes add {folder} adds to an index, --overwrite replaces it")

    if folder.exists():
        check_no_input("-o", [file for file in folder.iterdir() if file.is_file()], _sources(args.data))

    def own():
        return [file for file in folder.iterdir() if file.name == PLAN or file.name.startswith("part-")]

    with replacement(folder, own, BaseException) as state:  # until the first part is there
        (folder / PLAN).write_text(json.dumps(plan), encoding="utf-8")
        _fill(args, folder, hasher, args.fpr, state)
    (folder / PLAN).unlink()


def _check_part(args):
    if args.part < 1:
        raise ValueError(f"--part must be at least 1; got {args.part}")


def _check_data(args):
    """Refuse at once arguments and files that cannot be right, as far as the first record of each tells."""
    from mongoose_nb.sketch.reading import EmptyFileError, document_name, read_records

    _check_part(args)
    sources, seen = _sources(args.data), set()
    for source in sources:
        if source != "-" and os.path.isfile(source):
            try:
                next(read_records(source), None)
            except EmptyFileError:
                if len(sources) == 1:
                    raise
                continue
        name = "stdin" if source == "-" else document_name(source)
        if name in seen and not args.records:
            raise ValueError(f"two documents have the name {name!r}; rename one of the files or records")
        seen.add(name)


def _add(args):
    index = _open(args.index, finished=False)
    if (pathlib.Path(args.index) / PLAN).exists():
        raise ValueError(f"{args.index} has an unfinished run of mongoose genes index; finish it first, by the same command")
    _check_part(args)
    _fill(args, check_directory("INDEX", args.index), index.hasher, index.fpr)


def _sources(paths):
    from mongoose_nb.sketch.reading import sequence_files

    return [file for path in paths for file in (["-"] if path == "-" else map(str, sequence_files(path)))]


def _records(source, one_of_several):
    """Records of a file; none of an empty one among others."""
    from mongoose_nb.sketch.reading import EmptyFileError, read_records

    try:
        yield from read_records(source)
    except EmptyFileError as error:
        if not one_of_several:
            raise
        note(f"{error}, left out")


def _documents(args, known):
    """(source, name, text) of all documents; the text is None for those of `known` names."""
    from mongoose_nb.sketch.reading import EmptyFileError, check_bases, document_name, read_document
    from mongoose_nb.sketch.sequences import as_text

    sources = _sources(args.data)
    for source in sources:
        if args.records:
            for record in _records(source, len(sources) > 1):
                if record.name in known:
                    yield source, record.name, None
                    continue
                if not record.sequence:
                    note(f"{source}: record {record.name} has no letters, left out")
                    continue
                text = as_text(record.sequence)
                check_bases(text, f"{source}: record {record.name}")
                yield source, record.name, text
            continue
        name = "stdin" if source == "-" else document_name(source)
        if name in known:
            yield source, name, None
            continue
        try:
            text, records, empty = read_document(source)
        except EmptyFileError as error:
            if len(sources) == 1:
                raise
            note(f"{error}, left out")
            continue
        if empty:
            note(f"{source}: {empty} of {records} records have no letters")
        yield source, name, text


def _unchanged(source, name, text, digest, folder):
    """Refuse a document that the index has with other content, or of which it does not know the content."""
    from mongoose_nb.sketch.documents import text_digest

    if text is None or digest == text_digest(text):
        return
    found = "with other content" if digest else "of an earlier version, which does not say of what content"
    otherwise = "give it another name to add it as well" if digest else "leave it out if it is the same, give it another name if not"
    raise ValueError(f"{source}: document {name!r} is in the index {folder} already, {found}; {otherwise}, or make the index anew: "
                     "mongoose genes index --overwrite")


def _fill(args, folder, hasher, fpr, state=None):
    """Write parts until all documents are in the index. Those that are in it already, with the same content, are skipped."""
    from mongoose_nb.sketch import COBSIndex
    from mongoose_nb.sketch.documents import count_kmers

    for part in _parts(folder):
        remove_leftovers(part)
    for leftover in folder.glob("part-*.part"):  # of a part that was never complete
        leftover.unlink()
    taken: dict[str, str] = {}
    for part in _parts(folder):
        taken |= COBSIndex.load(part, mmap=True).digests
    # what this same run wrote by an earlier version, of the same files
    resumed = {name for name, digest in taken.items() if not digest} if (folder / PLAN).exists() else set()
    if taken:
        note(f"{len(taken):,} documents are in the index")
    start, letters, added, waiting, size = time.perf_counter(), 0, 0, [], 0

    def write():
        nonlocal waiting, size
        if not waiting:
            return
        numbers = [int(part.name[5:-len(".mongoose")]) for part in _parts(folder)]
        index = COBSIndex(hasher, fpr=fpr)
        index.add_many(waiting)
        index.save(folder / f"part-{max(numbers, default=0) + 1:05d}.mongoose")
        if state is not None:
            state.begun()
        waiting, size = [], 0
        seconds = time.perf_counter() - start
        note(f"{added:,} documents, {letters / 1e6:,.0f} million letters, {letters / 1e6 / seconds:,.0f} million/s")

    seen, skipped = set(), []
    for source, name, text in _documents(args, resumed):
        if name in taken:
            _unchanged(source, name, text, taken[name], folder)
            skipped.append(name)
            continue
        if name in seen:
            raise ValueError(f"two documents have the name {name!r}; rename one of the files or records")
        seen.add(name)
        if not count_kmers(text, hasher.k):
            note(f"{name}: no {hasher.k} of A, C, G, T and U in a row in {len(text):,} letters, left out")
            continue
        if waiting and size + len(text) > args.part * 10**6:
            write()
        waiting.append((name, text))
        size, letters, added = size + len(text), letters + len(text), added + 1
    write()
    if skipped:
        more = f" and {len(skipped) - 3:,} more" if len(skipped) > 3 else ""
        note(f"{len(skipped):,} unchanged, skipped: {', '.join(skipped[:3])}{more}")
    if not _parts(folder):
        raise ValueError(f"no documents: {', '.join(args.data)} have no sequence of k = {hasher.k} letters")
    report = {"index": str(folder), "added": added, "skipped": len(skipped), "documents": len(taken) + added, "letters": letters,
              "seconds": round(time.perf_counter() - start, 3), "bytes": sum(part.stat().st_size for part in _parts(folder))}
    if args.json:
        json_line(report)
    else:
        result(f"{added:,} documents in {report['seconds']:.2f} s: {folder} has {report['documents']:,} ({report['bytes'] / 1e6:,.1f} MB)")


def _query(args):
    from mongoose_nb.sketch.reading import read_records

    index = _open(args.index)
    check_number("--threshold", args.threshold, low=0, high=1, open_low=True)
    if args.data != "-":
        with open(args.data, "rb"):  # a missing file is told before the first line of the table
            pass
    if not args.json:
        result("query\tdocument\tshare\trank")
    names, sequences, found, without, total = [], [], 0, 0, 0

    def look_up():
        nonlocal found, without, total
        shown = []
        for name, sequence, matches in zip(names, sequences, index.search_many(sequences, args.threshold)):
            total += 1
            found += bool(matches)
            without += len(sequence) < index.hasher.k
            for match in matches:
                if args.best is None or match.rank <= args.best:
                    row = {"query": name, "document": match.name, "share": round(match.share, 4), "rank": match.rank}
                    shown.append(to_json(row) if args.json else f"{name}\t{match.name}\t{match.share:.4f}\t{match.rank}")
        if shown:
            result("\n".join(shown))
        names.clear()
        sequences.clear()

    start = time.perf_counter()
    for record in read_records(args.data):
        names.append(record.name)
        sequences.append(record.sequence)
        if len(names) == BATCH:
            look_up()
    look_up()
    short = f"; {without:,} shorter than k = {index.hasher.k}" if without else ""
    note(f"{found:,} of {total:,} queries found in {time.perf_counter() - start:.2f} s{short}")


def _stats(args):
    index = _open(args.index)
    groups = index.groups()
    rates = [group["fill"] ** index.hasher.n_hashes for group in groups]
    documents = sum(group["documents"] for group in groups)
    stats = {"documents": documents, "parts": len(_parts(args.index)), "groups": len(groups), "bytes": index.nbytes,
             "hash": type(index.hasher).__name__, "k": index.hasher.k, "n_hashes": index.hasher.n_hashes, "fpr": index.fpr,
             "false_positive_rate": math.fsum(rate * g["documents"] for rate, g in zip(rates, groups)) / documents,
             "largest_false_positive_rate": max(rates)}
    if args.json:
        json_line(stats)
        return
    for name, value in stats.items():
        result(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")

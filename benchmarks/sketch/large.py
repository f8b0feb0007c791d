"""A synthetic collection that is larger than its index's memory: indexed from the command line, killed once, resumed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

LENGTH = 5_000_000


def make(folder, letters):
    """Plain FASTA files of random genomes."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = np.frombuffer(b"ACGT", np.uint8)
    for i in range(letters // LENGTH):
        path = folder / f"genome{i:05d}.fa"
        rng = np.random.default_rng(i)
        text = alphabet[rng.integers(4, size=LENGTH, dtype=np.uint8)]
        if path.exists():
            continue
        lines = np.full((LENGTH // 100, 101), ord("\n"), np.uint8)
        lines[:, :100] = text.reshape(-1, 100)
        path.write_bytes(b">chromosome\n" + lines.tobytes())


def peak(pid):
    """Most memory of a process so far, in bytes; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmHWM"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def run(command, kill_after=None):
    """Run to the end, or kill after a number of parts; most memory, seconds and the output."""
    start, most = time.perf_counter(), 0
    with open(os.devnull) as nothing:
        process = subprocess.Popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    index = command[command.index("-o") + 1]
    while process.poll() is None:
        most = max(most, peak(process.pid))
        done = len([name for name in os.listdir(index) if name.endswith(".mongoose")]) if os.path.isdir(index) else 0
        if kill_after is not None and done >= kill_after:
            time.sleep(1.0)
            process.send_signal(signal.SIGKILL)
            process.wait()
        time.sleep(0.2)
    return most, time.perf_counter() - start, process.stdout.read()


def measure(args, peers):
    """The figures."""
    data, index = args.work / "collection", args.work / "index"
    make(data, args.letters)
    shutil.rmtree(index, ignore_errors=True)
    command = [sys.executable, "-m", "mongoose_nb", "genes", "index", str(data), "-o", str(index), "--json"]
    first = run(command, kill_after=3)
    parts = len(list(index.glob("part-*.mongoose")))
    second = run(command)
    query = args.work / "query.fa"
    names = sorted(path.name for path in data.iterdir())[:: max(1, args.letters // LENGTH // 50)]
    with open(query, "w", encoding="ascii") as file:
        for name in names:
            text = "".join((data / name).read_text(encoding="ascii").split("\n")[100:103])
            file.write(f">{name[:-3]}\n{text}\n")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "mongoose_nb", "genes", "query", str(index), str(query), "--threshold", "1"],
                          capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    found = {tuple(line.split("\t")[:2]) for line in done.stdout.splitlines()[1:]}
    out = {"letters": args.letters, "documents": args.letters // LENGTH, "parts when killed": parts, "peak bytes": max(first[0], second[0]),
           "seconds": first[1] + second[1], "index bytes": sum(path.stat().st_size for path in index.iterdir()),
           "queries": len(names), "queries found": sum((name[:-3], name[:-3]) in found for name in names), "query seconds": seconds,
           "output": second[2]}
    shutil.rmtree(args.work)
    return out

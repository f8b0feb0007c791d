"""Copying a sequence by LSH attention: train on ``0 w 0 w``, score with exact attention and with several rounds of hashing.

    python examples/reformer_copy.py
    python examples/reformer_copy.py --attention triplet --n-hashes 1      rotations that learn
"""

import argparse

from mongoose_nb.reformer import CopyTask, ReformerLM

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--attention", default="lsh", choices=("lsh", "triplet", "contrast", "full"))
parser.add_argument("--n-hashes", type=int, default=4, help="rounds of hashing")
parser.add_argument("--length", type=int, default=128)
parser.add_argument("--epochs", type=int, default=15, help="of 100 steps of 32 sequences")
args = parser.parse_args()

task = CopyTask(n_tokens=16, length=args.length)
model = ReformerLM(16, max_length=args.length, width=128, n_layers=2, n_heads=4, attention=args.attention, n_hashes=args.n_hashes,
                   bucket_size=32, clip_norm=1.0)
print(f"{sum(p.value.size for p in model.parameters().values()):,} parameters")


def show(model, logs):
    """One line for every epoch; true, which ends the training, when nearly all is right."""
    print(f"step {logs['step']:5,}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}", flush=True)
    return logs["accuracy"] > 0.999


model.fit(task, epochs=args.epochs, batches=100, batch_size=32, validation=task, callbacks=[show])

print("\nthe same model with other attention:")
for name, how in {"exact": {"attention": "full"}, **{f"{n} rounds": {"attention": "lsh", "n_hashes": n} for n in (8, 4, 2, 1)}}.items():
    print(f"  {name:9} accuracy {model.evaluate(task, **how)['accuracy']:.4f}")

tokens, _ = task.batch(0, 1, train=False)
prompt, rest = tokens[0, : args.length // 2 + 1], tokens[0, args.length // 2 + 1:]
copied = model.generate(prompt, 16, temperature=0)
print(f"\nto copy  {rest[:16]}\ncopied   {copied}")

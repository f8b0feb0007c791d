"""Which attention a layer uses: hashed with random or learned rotations, or exact."""

import numbers

from mongoose_nb.attention import LSHAttention
from mongoose_nb.errors import check_choice, check_int

KINDS = ("lsh", "triplet", "full")


def check_layers(n_layers, attention, n_hashes, bucket_size):
    """The three settings of every layer, as tuples."""
    def each(name, value):
        values = [value] * n_layers if isinstance(value, str | numbers.Integral) else list(value)
        if len(values) != n_layers:
            raise ValueError(f"{name} must be one value, or one for each of n_layers={n_layers} layers; got {value!r}")
        return values

    return (tuple(check_choice("attention", kind, KINDS) for kind in each("attention", attention)),
            tuple(check_int("n_hashes", n, low=1) for n in each("n_hashes", n_hashes)),
            tuple(check_int("bucket_size", n, low=1) for n in each("bucket_size", bucket_size)))


def make_core(model, layer, seed):
    """The core of one layer of a model."""
    return Core(model.attention[layer], model.n_hashes[layer], model.bucket_size[layer], model.full_attention_up_to, seed)


class Core:
    """A layer's attention, exact for short sequences, and replaceable for evaluation.

    Parameters
    ----------
    kind : {"lsh", "triplet", "full"}
    n_hashes, bucket_size : int
    full_up_to : int
        Longest sequence that is attended to exactly.
    seed : int
        Of the rotations.
    """

    def __init__(self, kind, n_hashes, bucket_size, full_up_to, seed):
        self.kind, self.n_hashes, self.bucket_size, self.full_up_to, self.seed = kind, n_hashes, bucket_size, full_up_to, seed
        self.instead = (kind, n_hashes)

    def replace(self, kind, n_hashes):
        """Attend in another way from now on; None keeps what the layer was made with."""
        self.instead = (self.kind if kind is None else check_choice("attention", kind, KINDS),
                        self.n_hashes if n_hashes is None else check_int("n_hashes", n_hashes, low=1))

    def _attention(self, length):
        kind, n_hashes = self.instead
        full = kind == "full" or length <= self.full_up_to
        return LSHAttention(n_hashes, self.bucket_size, True, seed=self.seed, kind="full" if full else "lsh", exact_below=0, redraw=True)

    def forward(self, qk, v, mask=None, step=0):
        """(out, cache); see `attention.LSHAttention`."""
        attention = self._attention(qk.shape[2])
        out, cache = attention.forward(qk, v, mask=mask, step=step)
        return out, (attention, cache)

    def backward(self, dout, cache):
        """(dqk, dv)."""
        attention, cache = cache
        return attention.backward(dout, cache)

"""Lists of a batch that ask hash tables only where it pays: what `nn.Auto` takes for many outputs."""

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.retrieval.exact import best_outputs
from mongoose_nb.nn.sampling.samplers import LSH, count_shared

# Step of the first look, doubled from look to look, and samples of a look: 64 give a share of 0.2 to 0.05 (one standard error), and take
# as long as 15 steps with 670,091 outputs, as 3 with 75,049.
FIRST_LOOK, SAMPLES = 128, 64
# Share of samples whose best output is one of their labels, from which on the tables are asked. Where hashed lists gain at equal time
# it is 0.38 to 0.65 in the end, where they lose 0.06, or 0.16 on training rows seen four times.
ENOUGH = 0.2


class Later(LSH):
    """As `LSH` with lists of a batch, but uniform ones until labels stand out from all other outputs.

    Where they never do, rivals of the label teach nothing that holds for other samples: the full softmax itself does no better than
    uniform lists there (``docs/ablation.md``, "At equal time"). So P@1 over all outputs is measured, on samples of the batch before the
    step learns from them, from step 128 on at every doubling of the steps. Once it is 0.2 the tables are asked, to the end. Nothing is
    lost by asking late: rivals of a label are known late.

    Parameters
    ----------
    candidates : int
    """

    def __init__(self, candidates):
        super().__init__(candidates, shape="batch")

    def _bind(self, weights, bias, seed):
        super()._bind(weights, bias, seed)
        self._layer = weights, bias
        self._began, self._hits, self._seen = None, 0, SAMPLES  # step from which on tables are asked; the look

    @property
    def asks(self):
        """Whether the tables of a bound sampler are asked yet."""
        return self._began is not None

    def settings(self):
        """Constructor arguments."""
        return {"name": "later", "candidates": self.candidates}

    def shared(self, h, labels, step, timer):
        """`SharedSet` of the batch."""
        if not self.asks:
            self._look(h, labels, step, timer)
        if self.asks:
            return super().shared(h, labels, step, timer)
        self._kept.observe(h, labels)
        with timer("retrieve"):
            shared = self._builder.shared(labels, self.candidates, step=step)
        self._counts = count_shared(shared)
        return shared

    def _look(self, h, labels, step, timer):
        """Count hits among the samples of a look, and judge when there are enough."""
        if step >= FIRST_LOOK and step & (step - 1) == 0:
            self._hits = self._seen = 0
        if self._seen >= SAMPLES:
            return
        more = slice(SAMPLES - self._seen)
        with timer("check"):
            weights, bias = self._layer
            self._hits += count_hits(h[more], weights.value, bias.value, Rows(labels.start[more], labels.count[more], labels.ids, None))
            self._seen += len(h[more])
        if self._seen >= SAMPLES and self._hits >= ENOUGH * self._seen:
            self._began = step

    def after_update(self, step, timer, touched=None):
        """Keep the tables up once they are asked; their schedule counts from then on."""
        if self.asks:
            super().after_update(step - self._began, timer, touched)

    def peek(self, h):
        """As `Sampler.peek`: uniform outputs as long as the tables are not asked."""
        return super().peek(h) if self.asks else self._builder.per_sample(Rows.empty(len(h)), self.candidates, step=0, alike=True)

    def state(self):
        """(settings, arrays) from which the sampler continues exactly."""
        settings, arrays = super().state()
        return {**settings, "began": self._began, "hits": self._hits, "seen": self._seen}, arrays

    def load_state(self, settings, arrays):
        """Put back what `state` gave; in a state of before there were looks, tables are asked from the first step on."""
        super().load_state(settings, arrays)
        began = settings.get("began", 0)
        self._began = began if began is None else check_int("began", began, low=0)
        self._hits, self._seen = (check_int(name, settings.get(name, 0), low=0) for name in ("hits", "seen"))


def count_hits(h, weights, bias, labels):
    """How many rows of `h` have one of their `labels` (Rows) for the best of all outputs."""
    from mongoose_nb.core.threads import one_blas_thread

    with one_blas_thread():
        best, _ = best_outputs(h, weights, bias, 1)
    sample, ids = labels.flat()
    return len(np.unique(sample[ids == best[sample, 0]]))

"""Which outputs of a wide layer a training step computes.

::

    WideOutput, WideHidden ──> Sampler ──> candidate_sets ──> kernels.tables
                                 │
        full, uniform ───────────┤        proposals     what random outputs are drawn from
                                 │        corrections   what a sampled output stands for
        lsh, adaptive ───────────┤        strategies    how candidates are taken from buckets
        auto ────────────────────┘        table_settings ─> table_manager   hash tables, kept up with the weights

    full       all outputs; the exact twin of the others
    uniform    labels and random outputs, uniform by default
    lsh        labels, outputs that hash tables retrieve, and random ones
    adaptive   uniform outputs, and retrieved ones once P@1 reaches a threshold
    auto       full or adaptive, by the number of outputs

A sampler is a description until `Sampler.bind` ties a copy of it to the weights of one layer; `Sampler` says how to write your own.
"""

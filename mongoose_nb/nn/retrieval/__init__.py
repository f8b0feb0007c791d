"""Which outputs a prediction scores.

::

    Network.predict_topk(exact=False) ──> Retriever.retrieve ──> ActiveSets ──> their exact scores

    label_sensitive   hash tables whose functions were trained for it by `Network.fit_serving`
    exact             all outputs are computed: the exact twin

Without a retriever the tables of an `nn.LSH` sampler are used, which were made for training.
"""

"""The small problem on which networks are tested."""

import numpy as np
import scipy.sparse as sp

FEATURES, OUTPUTS = 30, 600  # three blocks of outputs, the last one partly filled


def problem(seed=0, n=24):
    """Sparse rows, one of them empty; 0 to 4 labels a row, of which some are shared."""
    rng = np.random.default_rng(seed)
    X = sp.random(n, FEATURES, 0.3, format="csr", dtype=np.float32, random_state=seed)
    X.data[:] = rng.standard_normal(X.nnz)
    X = X.multiply((np.arange(n) != 5)[:, None]).tocsr().astype(np.float32)
    X.eliminate_zeros()
    Y = np.zeros((n, OUTPUTS), np.float32)
    for i in range(n):
        Y[i, rng.choice(OUTPUTS, i % 5, replace=False)] = 1
    Y[:, 7] = np.arange(n) % 3 == 1
    return X, sp.csr_matrix(Y)


def in_order_of_training(net, X, Y):
    """The rows as the network's next epoch visits them."""
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([net.seed, 1, net.epoch]))).permutation(X.shape[0])
    return X[order], Y[order]


def planted(n=1200, n_outputs=120, seed=0):
    """Rows whose label can be read off: each output has 3 features of its own, a row those of its label and 2 faint others."""
    rng = np.random.default_rng(seed)
    n_features = 3 * n_outputs
    label = rng.integers(0, n_outputs, n)
    columns = np.concatenate([3 * label[:, None] + np.arange(3), rng.integers(0, n_features, (n, 2))], axis=1)
    values = np.tile(np.float32([1, 1, 1, 0.3, 0.3]), n)
    X = sp.csr_matrix((values, (np.repeat(np.arange(n), 5), columns.ravel())), shape=(n, n_features))
    return X, label


def digest(net):
    """A hash over every bit of every parameter and moment."""
    import hashlib

    h = hashlib.sha256()
    for name, parameter in sorted(net.parameters().items()):
        for part, array in sorted(parameter.arrays(name).items()):
            h.update(part.encode())
            h.update(array.tobytes())
    return h.hexdigest()


def assert_same_arrays(a, b):
    """Two networks hold the same bits."""
    for name, parameter in a.parameters().items():
        other = b.parameters()[name].arrays(name)
        assert other.keys() == parameter.arrays(name).keys()
        for part, array in parameter.arrays(name).items():
            np.testing.assert_array_equal(other[part], array, err_msg=part)


def lsh(candidates=1000, *, min_votes=2, **settings):
    """`nn.LSH` from settings of the sampler and of its tables together."""
    from mongoose_nb import nn

    names = ("family", "K", "L", "capacity", "policy", "center", "rehash", "rebuild", "learn")
    tables = nn.Tables(**{name: settings.pop(name) for name in names if name in settings})
    if settings.get("strategy") == "threshold":
        settings["strategy"] = nn.Threshold(min_votes)
    return nn.LSH(candidates, tables=tables, **settings)

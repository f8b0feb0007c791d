"""Files of vectors for `mongoose index`: .npy, .npz (SciPy CSR), .fvecs, and the HDF5 of ann-benchmarks."""

import os

READS = ".npy, .npz (a SciPy CSR matrix), .fvecs, .hdf5 (ann-benchmarks)"
METRIC_NAMES = {"angular": "cosine", "euclidean": "l2", "hamming": "hamming", "jaccard": "jaccard", "ip": "ip"}


def read_vectors(path: str, part: str = "train", dim: int | None = None) -> tuple:
    """Read the rows of a file, and the name of the metric where the file has one.

    Parameters
    ----------
    path : str
    part : {"train", "test"}
        Which rows of an HDF5 file.
    dim : int, optional
        Columns of sets, where the file does not say.

    Returns
    -------
    rows : ndarray or CSR matrix of shape (n, dim)
    metric : str or None

    Raises
    ------
    ValueError, OSError
        The form is unknown, or the file is damaged.
    """
    from mongoose_nb.data._npz import map_npy

    ending = os.path.splitext(path)[1].lower()
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    if ending == ".npy":
        X = _named(path, map_npy)
        if X.ndim != 2:
            raise ValueError(f"{path} holds an array of shape {X.shape}; rows (n, dim) are needed")
        return X, None
    if ending == ".npz":
        return _named(path, _csr), None
    if ending == ".fvecs":
        return _fvecs(path), None
    if ending in (".hdf5", ".h5"):
        return _hdf5(path, part, dim)
    raise ValueError(f"{path}: no reader for {ending or 'a name without an ending'}; known are {READS}")


def _named(path, read):
    try:
        return read(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _csr(path):
    """What ``scipy.sparse.save_npz`` wrote, of any format, as CSR."""
    from scipy.sparse import load_npz

    from mongoose_nb.data._npz import check_npz

    check_npz(path)
    try:
        matrix = load_npz(path)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # conversions trust the indices
        return matrix.tocsr()
    except OSError:
        raise
    except Exception as error:  # SciPy raises many kinds of errors for arrays that do not fit
        raise ValueError(f"no sparse matrix of scipy.sparse.save_npz, or damaged ({error})") from error


def _fvecs(path):
    """Rows of float32, each after its number of columns as int32."""
    import numpy as np

    raw = np.fromfile(path, "<i4")
    dim = int(raw[0]) if raw.size else 0
    if dim < 1 or raw.size % (dim + 1) or (raw[:: dim + 1] != dim).any():
        raise ValueError(f"{path} is not an .fvecs file of rows of one length, or it is truncated")
    return raw.reshape(-1, dim + 1)[:, 1:].view("<f4")


def _hdf5(path, part, dim):
    import numpy as np

    try:
        import h5py
    except ImportError:
        raise ImportError("reading HDF5 needs h5py: pip install h5py") from None
    with h5py.File(path, "r") as file:
        name = str(file.attrs.get("distance", ""))
        metric = METRIC_NAMES.get(name)
        if file.attrs.get("type", "dense") != "sparse":
            return file[part][:], metric
        from scipy.sparse import csr_matrix

        # sets: the ids of all rows one after the other, and how many each has
        ids, sizes = file[part][:].astype(np.int64), file[f"size_{part}"][:].astype(np.int64)
        columns = dim or max(int(file.attrs.get("dimension", 0)), 1 + max(int(file[p][:].max(initial=0)) for p in ("train", "test")))
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        return csr_matrix((np.ones(len(ids), np.float32), ids, indptr), shape=(len(sizes), columns)), metric

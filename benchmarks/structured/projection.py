"""Projection errors beside an SVD of as many parameters, and the error of flattening a butterfly."""

import numpy as np
import scipy.linalg

from mongoose_nb.structured import butterfly_factor, monarch_project, pixelfly_mask


def stride_permutation(n, groups):
    """Columns of the input of a fast Fourier transform."""
    return np.arange(n).reshape(n // groups, groups).T.ravel()


def matrices(n, rng):
    """Name -> matrix, of the kinds that the table compares."""
    b = int(n**0.5)
    decay = np.exp(-np.arange(n) / 16)
    blocks = scipy.linalg.block_diag(*(rng.standard_normal((b, b)) for _ in range(b)))
    hadamard = scipy.linalg.hadamard(n) / n**0.5
    return {"permuted DFT": np.fft.fft(np.eye(n))[:, stride_permutation(n, b)], "DFT": np.fft.fft(np.eye(n)), "Hadamard": hadamard,
            "block diagonal + noise": blocks + 0.05 * rng.standard_normal((n, n)), "circulant, decaying": scipy.linalg.circulant(decay),
            "Toeplitz, random": scipy.linalg.toeplitz(rng.standard_normal(n), rng.standard_normal(n)),
            "Gaussian": rng.standard_normal((n, n)), f"rank {b}": rng.standard_normal((n, b)) @ rng.standard_normal((b, n))}


def svd_error(A, rank):
    """Relative error of the best matrix of a rank."""
    s = np.linalg.svd(A, compute_uv=False)
    return float(np.sqrt(np.square(s[rank:]).sum() / np.square(s).sum()))


def alternating(A, starts, rounds, rng):
    """Relative errors of alternating least squares from random starts, for square A of n = b * b."""
    n = len(A)
    b = int(n**0.5)
    parts = A.reshape(b, b, b, b).transpose(1, 2, 0, 3)  # (j, k, l, i)
    errors = []
    for _ in range(starts):
        right = rng.standard_normal((b, b, b))  # (j, k, i)
        for _ in range(rounds):
            left = np.einsum("jkli,jki->jkl", parts, right) / np.maximum(np.square(right).sum(axis=2), 1e-300)[..., None]
            right = np.einsum("jkli,jkl->jki", parts, left) / np.maximum(np.square(left).sum(axis=2), 1e-300)[..., None]
        errors.append(float(np.linalg.norm(parts - left[..., None] * right[:, :, None]) / np.linalg.norm(A)))
    return errors


def flattening(n, size, lambdas, rng):
    """Spectral size of the product of the factors of a butterfly less their sum, for each size of the entries off the diagonal."""
    factors = []
    level = 1
    while level < size:
        factors.append(np.where(butterfly_factor(n, level) & ~np.eye(n, dtype=bool), rng.standard_normal((n, n)), 0.0))
        level *= 2
    out = []
    for size_off in lambdas:
        product = np.eye(n)
        for factor in factors:
            product = product @ (np.eye(n) + size_off * factor)
        out.append(float(np.linalg.norm(product - np.eye(n) - size_off * sum(factors))))
    return out


def measure(args):
    """All figures."""
    rng = np.random.default_rng(args.seed)
    exact = {}
    for n in (16, 64, 256, 1024):
        found = matrices(n, np.random.default_rng(args.seed))
        exact[n] = {name: monarch_project(found[name])[1] for name in ("permuted DFT", "DFT", "Hadamard")}
    table = {}
    for name, A in matrices(256, rng).items():
        M, error = monarch_project(A)
        rank = M.n_params // 512
        table[name] = {"monarch": error, "svd": svd_error(A, rank), "parameters": M.n_params, "rank": rank}
    A = rng.standard_normal((256, 256))
    M, error = monarch_project(A)
    direct = float(np.linalg.norm(A - M.to_dense()) / np.linalg.norm(A))
    lambdas = [0.2, 0.1, 0.05, 0.025]
    errors = flattening(64, 64, lambdas, rng)
    counts = [{"blocks": nb, "size": k, "stored": int(pixelfly_mask(nb * 16, nb * 16, 16, k).sum()), "expected": nb * k.bit_length()}
              for nb in (16, 32, 64) for k in (1, 2, 4, 8, nb)]
    return {"exact": exact, "table": table, "error": error, "direct": direct, "alternating": alternating(A, 3, 50, rng),
            "lambdas": lambdas, "flattening": errors, "counts": counts}


def text(result):
    """A few lines."""
    lines = [f"{'256 x 256':26}{'Monarch':>10}{'SVD':>10}   relative error with as many parameters"]
    lines += [f"{name:26}{entry['monarch']:10.3g}{entry['svd']:10.3g}   {'Monarch' if entry['monarch'] < entry['svd'] - 1e-9 else 'SVD'}"
              for name, entry in result["table"].items()]
    exact = max(entry[name] for entry in result["exact"].values() for name in ("permuted DFT", "Hadamard"))
    lines.append(f"largest error of the permuted DFT and of Hadamard, n = 16 to 1,024: {exact:.1g}; of the DFT as it is, least: "
                 f"{min(entry['DFT'] for entry in result['exact'].values()):.3f}")
    ratios = [big / small for big, small in zip(result["flattening"], result["flattening"][1:])]
    lines.append(f"flattening error of a butterfly where the entries halve: {', '.join(f'{ratio:.2f}' for ratio in ratios)} times less")
    return "\n".join(lines)

"""Labels and probabilities that the tests of several functions share."""

import numpy as np

# The worked example: its thresholds are .6, .55 and .5667, and its confident joint counts rows 2
# and 6 off the diagonal.
TOY_PROBA = np.array(
    [
        [0.9, 0.05, 0.05],
        [0.7, 0.2, 0.1],
        [0.2, 0.7, 0.1],
        [0.1, 0.8, 0.1],
        [0.3, 0.3, 0.4],
        [0.05, 0.15, 0.8],
        [0.6, 0.3, 0.1],
        [0.1, 0.1, 0.8],
    ]
)
TOY_LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2])


def make_noisy(seed, n_samples, n_classes, *, noise=0.3, margin=2.0, dtype=np.float64):
    """Make probabilities of a fair model, and labels of which a share is wrong."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_samples - n_classes)])
    logits = rng.normal(size=(n_samples, n_classes))
    logits[np.arange(n_samples), y] += margin
    proba = np.exp(logits)
    proba /= proba.sum(axis=1, keepdims=True)
    flip = rng.random(n_samples) < noise
    y[flip] = rng.integers(0, n_classes, flip.sum())
    return y, proba.astype(dtype)

"""Labels as text, and the fingerprint by which corrections recognise their data."""

from __future__ import annotations

import hashlib

import numpy as np

from skrobust.base._labels import encode_labels

# Letters first, lest a spreadsheet reads a number.
_PREFIX = "sk1-"
_MISSING = b"\xff"
_LONGEST_ID = 200


def label_text(label) -> str:
    """Return the text of a label; whole numbers of any type have one text."""
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return str(int(label))
    return str(label)


def encode_text(y) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return codes, classes and the text of each class.

    Raises
    ------
    ValueError
        If two classes have the same text.
    """
    codes, classes = encode_labels(y)
    texts = [label_text(label) for label in classes.tolist()]
    if classes.dtype.kind in "mM":
        texts = [str(label) for label in classes]
    if len(set(texts)) < len(texts):
        raise ValueError("y holds labels that differ but have the same text.")
    return codes, classes, texts


def fingerprint(codes: np.ndarray, texts: list[str]) -> str:
    """Return the fingerprint of labels in their order, missing ones among them."""
    digest = hashlib.sha256(f"{len(codes)}\n".encode())
    words = [text.encode("utf-8", "surrogatepass") for text in texts]
    # The length before each word: no two lists of labels make the same stream.
    words = [f"{len(word)}:".encode() + word for word in words]
    words.append(_MISSING)
    for code in codes.tolist():
        digest.update(words[code])
    return _PREFIX + digest.hexdigest()[:32]


def text_of_ids(row_ids, n_rows: int) -> list[str] | None:
    """Return the ids of rows as text, all different."""
    if row_ids is None:
        return None
    values = np.asarray(row_ids, dtype=object)
    if values.shape != (n_rows,):
        raise ValueError(
            f"row_ids must name the {n_rows} rows of y, got an array of shape {values.shape}."
        )
    texts = [label_text(value) for value in values.tolist()]
    if len(set(texts)) < n_rows:
        seen: set = set()
        twice = next(text for text in texts if text in seen or seen.add(text))
        raise ValueError(f"row_ids must differ, and {twice!r} occurs more than once.")
    return [bounded_id(text) for text in texts]


def bounded_id(text: str) -> str:
    """Return an id, or its beginning and a hash if it is long."""
    if len(text) <= _LONGEST_ID:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: _LONGEST_ID - 20]}…{digest}"

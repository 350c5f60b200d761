"""Images of rows: read from arrays, files or bytes, and packed into sprite sheets."""

from __future__ import annotations

import base64
import io
import os
import warnings
from pathlib import Path

import numpy as np

TILE = 96
LARGE = 384
# A side of a sheet; browsers decode a sheet as a whole.
_SHEET_SIDE = 768
_QUALITY = 80
# Larger files are refused: a few bytes can claim to be a picture that fills the memory.
MAX_PIXELS = 50_000_000
_SUFFIXES = frozenset(".png .jpg .jpeg .webp .gif .bmp .tif .tiff .ppm .pgm".split())


def holds_images(raw) -> bool:
    """Whether `raw` is an array of images, or a sequence of pictures, their files or bytes."""
    shape = getattr(raw, "shape", None)
    if shape is not None and len(shape) in (3, 4):
        return True
    if shape is not None and len(shape) != 1:
        return False
    first = next((item for item in raw if item is not None), None)
    if isinstance(first, (bytes, bytearray, os.PathLike)):
        return True
    if isinstance(first, str):
        return Path(first).suffix.lower() in _SUFFIXES and len(first) < 1000
    if isinstance(first, np.ndarray):
        return first.ndim in (2, 3)
    return hasattr(first, "convert") and hasattr(first, "size")


def pack_images(raw, rows: np.ndarray, n_large: int) -> dict:
    """Pack the images of some rows into sheets.

    Parameters
    ----------
    raw : array or sequence
        Images of all rows; None where a row has none.
    rows : ndarray of int
        Rows, in the order of the tiles.
    n_large : int
        So many of them, the first ones, have a larger copy if they are larger than a tile.

    Returns
    -------
    images : dict
        "width" and "height" of a tile, "columns" of a sheet, "per_sheet" tiles of it, "sheets" and
        "large" as base64 of WebP, and "missing", tiles without an image.
    """
    Image = _pillow()
    limits = _limits(raw)
    tiles, large, missing = [], {}, []
    width = height = 1
    for number, row in enumerate(rows.tolist()):
        item = raw[row]
        if item is None:
            tiles.append(None)
            missing.append(number)
            continue
        picture = open_image(item, row, limits)
        if number < n_large and max(picture.size) > TILE:
            copy = picture.copy()
            copy.thumbnail((LARGE, LARGE))
            large[number] = _encode(copy)
        picture.thumbnail((TILE, TILE))
        width, height = max(width, picture.width), max(height, picture.height)
        tiles.append(picture)
    columns, lines = max(_SHEET_SIDE // width, 1), max(_SHEET_SIDE // height, 1)
    per_sheet, sheets = columns * lines, []
    for start in range(0, len(tiles), per_sheet):
        part = tiles[start : start + per_sheet]
        mode = "L" if all(tile is None or tile.mode == "L" for tile in part) else "RGB"
        used = -(-len(part) // columns)
        sheet = Image.new(mode, (columns * width, used * height))
        for place, tile in enumerate(part):
            if tile is not None:
                left = place % columns * width + (width - tile.width) // 2
                top = place // columns * height + (height - tile.height) // 2
                sheet.paste(tile, (left, top))
        sheets.append(_encode(sheet))
    return {
        "width": width, "height": height, "columns": columns, "per_sheet": per_sheet,
        "sheets": sheets, "large": large, "missing": missing,
    }  # fmt: skip


def _pillow():
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'Images in a report need Pillow; install it with: pip install "skrobust[report]"'
        ) from error
    return Image


def _encode(picture) -> str:
    content = io.BytesIO()
    picture.save(content, format="WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(content.getvalue()).decode("ascii")


def _limits(raw) -> tuple[float, float] | None:
    """Return what is black and white in an array of numbers other than bytes."""
    if getattr(raw, "dtype", None) is None or raw.dtype == object or raw.dtype == np.uint8:
        return None
    if raw.dtype == bool:
        return 0.0, 1.0
    low, high = float(np.nanmin(raw)), float(np.nanmax(raw))
    if not np.isfinite([low, high]).all():
        raise ValueError("raw holds images with infinite values.")
    for top in (1.0, 255.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high


def open_image(item, row: int, limits=None):
    """Return a picture of mode L or RGB.

    Raises
    ------
    ValueError
        If the image of the row cannot be read, or is too large.
    """
    Image = _pillow()
    try:
        if isinstance(item, (bytes, bytearray, str, os.PathLike)):
            source = io.BytesIO(item) if isinstance(item, (bytes, bytearray)) else item
            with warnings.catch_warnings():
                # Our own limit is lower than the one that Pillow warns of.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture = Image.open(source)
            with picture:
                _check_size(picture.size)
                picture.draft(picture.mode if picture.mode == "L" else "RGB", (LARGE, LARGE))
                return _flatten(picture)
        if hasattr(item, "convert"):
            _check_size(item.size)
            return _flatten(item)
        return _from_array(np.asarray(item), limits)
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"The image of row {row} in raw cannot be used: {error}") from error


def _flatten(picture):
    """Return a picture of mode L or RGB, transparent parts on white."""
    Image = _pillow()
    if picture.mode in ("RGBA", "LA", "P", "PA"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    gray = picture.mode in ("1", "L", "I;16")
    return picture.convert("L") if gray else picture.convert("RGB")


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"it has {width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} million"
            " that are opened; pass a smaller copy"
        )


def _from_array(array: np.ndarray, limits):
    """Return the picture of an array of shape (height, width) or with channels first or last."""
    Image = _pillow()
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(
            f"expected an image of shape (height, width) or with 1, 3 or 4 channels, got"
            f" {array.shape}"
        )
    _check_size(array.shape[1::-1])
    if array.dtype != np.uint8:
        low, high = limits or _limits(array)
        scaled = (array.astype(np.float64) - low) / max(high - low, 1e-300)
        array = np.nan_to_num(np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array[..., :3] if array.ndim == 3 else array))

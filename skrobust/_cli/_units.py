"""Units of measurement and currencies of the numbers in a table."""

from __future__ import annotations

CLOCK = "h:min"
# Cells with a unit that differs from the most frequent one are made missing up to this share.
MOST_HAVE_IT = 0.9

_SYMBOL_OF = {
    **{"usd": "$", "us$": "$", "＄": "$", "﹩": "$", "eur": "€", "euro": "€", "euros": "€"},
    **{"gbp": "£", "￡": "£", "jpy": "¥", "￥": "¥", "inr": "₹", "rs": "₹", "rs.": "₹"},
    **{"krw": "₩", "￦": "₩", "dollar": "$", "dollars": "$", "fr.": "CHF", "sfr.": "CHF"},
    **{"sfr": "CHF", "chf": "CHF", "kr.": "kr", "kr": "kr"},
}

# Units of one kind, each with its factor to a common one.
_KINDS: dict[str, dict[str, float]] = {
    "mass": {
        **{"ng": 1e-9, "µg": 1e-6, "ug": 1e-6, "mcg": 1e-6, "mg": 1e-3, "g": 1.0, "gr": 1.0},
        **{"gram": 1.0, "grams": 1.0, "gramm": 1.0, "kg": 1e3, "kgs": 1e3, "kilo": 1e3},
        **{"kilogram": 1e3, "kilograms": 1e3, "t": 1e6, "tonne": 1e6, "tonnes": 1e6},
        **{"lb": 453.59237, "lbs": 453.59237, "pound": 453.59237, "pounds": 453.59237},
        **{"oz": 28.349523125, "st": 6350.29318},
    },
    "length": {
        **{"nm": 1e-9, "µm": 1e-6, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "dm": 1e-1, "m": 1.0},
        **{"metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "km": 1e3, "kms": 1e3},
        **{"in": 0.0254, "inch": 0.0254, "inches": 0.0254, '"': 0.0254, "″": 0.0254},
        **{"ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "yd": 0.9144, "yard": 0.9144},
        **{"yards": 0.9144, "mi": 1609.344, "mile": 1609.344, "miles": 1609.344},
    },
    "area": {
        **{"mm²": 1e-6, "cm²": 1e-4, "m²": 1.0, "m2": 1.0, "m^2": 1.0, "sqm": 1.0, "qm": 1.0},
        **{"ha": 1e4, "km²": 1e6, "km2": 1e6, "sqft": 0.09290304, "sq ft": 0.09290304},
        **{"ft²": 0.09290304, "ft2": 0.09290304, "acre": 4046.8564224, "acres": 4046.8564224},
    },
    "volume": {
        **{"µl": 1e-6, "ul": 1e-6, "ml": 1e-3, "cl": 1e-2, "dl": 1e-1, "l": 1.0, "litre": 1.0},
        **{"litres": 1.0, "liter": 1.0, "liters": 1.0, "ltr": 1.0, "hl": 1e2, "m³": 1e3},
        **{"m3": 1e3, "cm³": 1e-3, "cm3": 1e-3, "cc": 1e-3},
    },
    "time": {
        **{"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "msec": 1e-3, "s": 1.0, "sec": 1.0},
        **{"secs": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "mins": 60.0},
        **{"minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hrs": 3600.0},
        **{"std": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0},
        **{"days": 86400.0, "week": 604800.0, "weeks": 604800.0, "wk": 604800.0},
        **{"month": 2629746.0, "months": 2629746.0, "mo": 2629746.0, "mos": 2629746.0},
        **{"year": 31556952.0, "years": 31556952.0, "yr": 31556952.0, "yrs": 31556952.0},
        **{"y": 31556952.0, "yo": 31556952.0},
    },
    "data": {
        **{"b": 1.0, "byte": 1.0, "bytes": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
        **{"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40},
    },
    "power": {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6, "GW": 1e9, "hp": 745.7, "PS": 735.5},
    "energy": {"J": 1.0, "kJ": 1e3, "MJ": 1e6, "Wh": 3.6e3, "kWh": 3.6e6, "MWh": 3.6e9},
    "food energy": {"cal": 1.0, "kcal": 1e3},
    "frequency": {"mHz": 1e-3, "Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "pressure": {"Pa": 1.0, "hPa": 1e2, "kPa": 1e3, "MPa": 1e6, "mbar": 1e2, "bar": 1e5},
    "voltage": {"µV": 1e-6, "mV": 1e-3, "V": 1.0, "kV": 1e3, "MV": 1e6},
    "current": {"µA": 1e-6, "mA": 1e-3, "A": 1.0, "kA": 1e3},
    "share": {"%": 1.0, "pct": 1.0, "percent": 1.0, "‰": 0.1},
    "speed": {"km/h": 1.0, "kmh": 1.0, "kph": 1.0, "m/s": 3.6, "mph": 1.609344},
    "concentration": {
        "ng/ml": 1e-3,
        "µg/ml": 1.0,
        "mg/l": 1.0,
        "µg/l": 1e-3,
        "mg/dl": 10.0,
        "g/l": 1e3,
    },
    "ordinal": {"st": 1.0, "nd": 1.0, "rd": 1.0, "th": 1.0},
}
# A bare number among these is the number itself: 950, 1.2k, 3.4M.
_MULTIPLES = {
    **{"k": 1e3, "thousand": 1e3, "tsd": 1e3, "tsd.": 1e3, "mio": 1e6, "mio.": 1e6, "mn": 1e6},
    **{"million": 1e6, "millions": 1e6, "mrd": 1e9, "mrd.": 1e9, "bn": 1e9, "billion": 1e9},
    **{"lakh": 1e5, "cr": 1e7, "crore": 1e7, "tn": 1e12, "trillion": 1e12},
}
_LETTER_MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_TEMPERATURES = {"°c": (1.0, 0.0), "°f": (5 / 9, -160 / 9), "k": (1.0, -273.15)}
# Two spellings among these that differ in capitals are two units: milli and mega.
_CASE_MATTERS = frozenset("m M mW MW mHz MHz mV MV mA MA mPa MPa mJ MJ mm Mm mg Mg".split())
_CURRENCY_SIGNS = frozenset("$¢£¤¥₩€₹₽₺₪₫₴₦฿")
_CURRENCY_CODES = frozenset(
    "CHF CNY RMB AUD CAD NZD SEK NOK DKK PLN CZK HUF RON BGN TRY RUB UAH BRL MXN ARS CLP COP ZAR"
    " SGD HKD TWD THB IDR MYR PHP VND ILS AED SAR EGP NGN KES kr zł Kč Ft".split()
)


def currency_symbol(unit: str) -> str:
    """Return the usual sign of a currency, anything else unchanged."""
    return _SYMBOL_OF.get(unit.casefold(), unit)


def _split_currency(unit: str) -> tuple[str, str]:
    """Split "$k" into currency and multiple."""
    if unit and unit[0] in _CURRENCY_SIGNS:
        return unit[0], unit[1:].strip()
    if unit and unit[-1] in _CURRENCY_SIGNS:
        return unit[-1], unit[:-1].strip()
    for code in _CURRENCY_CODES:
        if unit.startswith(code) and unit != code:
            return code, unit.removeprefix(code).strip()
    return "", unit


def _multiple(unit: str, *, letters: bool) -> float | None:
    """Return what a word such as "k" or "million" multiplies by, None if it does not."""
    lower = unit.casefold()
    if lower in _MULTIPLES:
        return _MULTIPLES[lower]
    return _LETTER_MULTIPLES.get(lower) if letters else None


def _same_multiples(units: list[str]) -> tuple[str, dict] | None:
    """Read the units as multiples of one unit or currency, if all are."""
    currencies = {_split_currency(unit)[0] for unit in units if unit}
    if len(currencies) > 1:
        return None
    (currency,) = currencies or {""}
    rests = {unit: _split_currency(unit)[1] for unit in units}
    single = {rest for rest in rests.values() if len(rest) == 1}
    # "m" is a metre and "3B" may be a code; after a currency, or beside "k", they are multiples.
    letters = bool(currency) or (single <= {"K", "k", "M", "B"} and bool(single & {"K", "k"}))
    factors = {}
    for unit, rest in rests.items():
        factor = 1.0 if not rest else _multiple(rest, letters=letters)
        if factor is None:
            return None
        factors[unit] = (factor, 0.0)
    if not any(rest for rest in rests.values()):
        return None
    return currency, factors


def _same_kind(units: list[str], main: str) -> dict | None:
    """Return factors to the unit `main` if all units are of one kind."""
    lower = {unit: unit.casefold().rstrip(".") for unit in units}
    if len(units) > 1 and all(name in _TEMPERATURES for name in lower.values()):
        scale, shift = _TEMPERATURES[lower[main]]
        return {
            unit: (
                _TEMPERATURES[lower[unit]][0] / scale,
                (_TEMPERATURES[lower[unit]][1] - shift) / scale,
            )
            for unit in units
        }
    for kind in _KINDS.values():
        folded = {}
        for name in kind:
            # Units that differ only in capitals (mW, MW) must be spelled exactly.
            folded.setdefault(name.casefold(), []).append(name)
        found = {}
        for unit in units:
            names = folded.get(lower[unit], [])
            if unit.rstrip(".") in kind:
                found[unit] = kind[unit.rstrip(".")]
            elif len(names) == 1 and unit != "M":  # a million, not a metre
                found[unit] = kind[names[0]]
        if len(found) == len(units):
            return {unit: (found[unit] / found[main], 0.0) for unit in units}
    return None


def common_unit(counts: dict[str, int]) -> tuple[str | None, dict[str, tuple[float, float]]]:
    """Find the one unit of a column.

    Parameters
    ----------
    counts : dict of str to int
        How many numbers have each unit, "" for bare numbers.

    Returns
    -------
    unit : str or None
        The unit, "" for none; None if numbers of different kinds are mixed.
    factors : dict of str to (factor, shift)
        How to bring the numbers of each unit to it. A unit that is absent cannot be converted.
    """
    plain = {"": (1.0, 0.0)}
    units = [unit for unit in counts if unit]
    if not units:
        return "", plain
    main = max(units, key=counts.__getitem__)
    multiples = _same_multiples(units)
    if units == [CLOCK]:
        return CLOCK, {CLOCK: (1.0, 0.0)}
    if len(units) == 1:
        # A bare number has the unit of the others, unless that is a multiple: 950 beside 1.2k.
        if multiples is not None and counts.get(""):
            return multiples[0], {**plain, **multiples[1]}
        return main, {**plain, main: (1.0, 0.0)}
    if multiples is not None:
        return multiples[0], {**plain, **multiples[1]}
    same_kind = {
        unit: (1.0, 0.0)
        for unit in units
        if unit == main
        or (unit.casefold() == main.casefold() and not {unit, main} <= _CASE_MATTERS)
    }
    if len(same_kind) == len(units):
        return main, {**plain, **same_kind}
    factors = _same_kind(units, main)
    if factors is not None:
        # A bare number beside several sizes of unit could be any of them.
        if set(factors) <= set(_KINDS["ordinal"]):
            return "", {**factors, **plain}
        one_size = all(factor == (1.0, 0.0) for factor in factors.values())
        return main, {**factors, **plain} if one_size else factors
    total, n_bare = sum(counts.values()), counts.get("", 0)
    if n_bare >= MOST_HAVE_IT * total:
        return "", plain
    with_main = sum(counts[unit] for unit in same_kind)
    if with_main + n_bare >= MOST_HAVE_IT * total and with_main >= n_bare:
        return main, {**plain, **same_kind}
    return None, {}

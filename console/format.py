"""Numbers, times and ages as the operator reads them. One place, so that a figure looks the same on every screen.

A missing value is "-". A sign is always written where it matters: colour is never the only sign.
"""

from datetime import UTC, datetime

MISSING = "-"


def number(value: float, digits: int) -> str:
    """A figure with thousands separators and exactly `digits` decimals; never "-0.00"."""
    written = f"{value:,.{digits}f}"
    return written[1:] if written.startswith("-") and not any(digit in written for digit in "123456789") else written


def signed(value: float, digits: int) -> str:
    """The same with its sign in front; zero has none."""
    written = number(value, digits)
    return f"+{written}" if value > 0 and any(digit in written for digit in "123456789") else written


def money(value: float | None, digits: int, currency: str = "") -> str:
    """An amount in account currency."""
    if value is None:
        return MISSING
    return f"{number(value, digits)} {currency}".rstrip()


def price(value: float, digits: int) -> str:
    """A price with the symbol's digits. MT5 writes an absent stop or target as 0."""
    return f"{value:.{digits}f}" if value else MISSING


def volume(lots: float) -> str:
    """Lots, with two decimals or as many more as it has."""
    whole, _, decimals = f"{lots:.8f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def percent(value: float) -> str:
    """A percentage of 0 to 100 with two decimals."""
    return f"{number(value, 2)} %"


def limit(value: float) -> str:
    """A limit in percent, as it was configured: no decimals that say nothing."""
    return f"{value:g} %"


def ratio(value: float | None) -> str:
    """Reward to risk."""
    return MISSING if value is None else number(value, 2)


def points(value: float | None) -> str:
    """A distance in points, signed, with a decimal only when it has one."""
    if value is None:
        return MISSING
    rounded = round(float(value), 1)
    return signed(rounded, 0 if rounded.is_integer() else 1)


def age(seconds: float) -> str:
    """An age in words that change no oftener than the operator can read: "<1 s", "12 s", "4 m 10 s", "2 h 03 m"."""
    whole = int(seconds)
    if whole < 1:
        return "<1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def countdown(seconds: float) -> str:
    """Time left: "4:59", "1:02:03"; "0:00" when there is none."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def clock(moment: datetime) -> str:
    """The time of day in UTC."""
    return moment.astimezone(UTC).strftime("%H:%M:%S")


def stamp(moment: datetime) -> str:
    """Day and time of day in UTC."""
    return moment.astimezone(UTC).strftime("%m-%d %H:%M:%S")

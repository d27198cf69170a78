"""Small tick files with a market that a test can reckon with: plain `timestamp,bid,ask`, one tick a second."""

from pathlib import Path

FIRST = 1_700_000_000


def write(path: Path, points: list[int]) -> Path:
    """Write EURUSD bids given in points; the ask is one point above."""
    lines = (f"{FIRST + number},{bid / 1e5:.5f},{(bid + 1) / 1e5:.5f}" for number, bid in enumerate(points))
    path.write_text("timestamp,bid,ask\n" + "\n".join(lines) + "\n")
    return path


def zigzag(path: Path, ticks: int, swing: int = 100) -> Path:
    """Up and down by `swing` points, a point a tick."""
    return write(path, [110_000 + swing - abs(number % (2 * swing) - swing) for number in range(ticks)])


def falling(path: Path, ticks: int) -> Path:
    """Down by a point a tick, from 1.50000."""
    return write(path, [150_000 - number for number in range(ticks)])

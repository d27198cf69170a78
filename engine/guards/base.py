"""What every guard says of a reading."""

from enum import StrEnum


class Verdict(StrEnum):
    """A guard's word on a reading, from harmless to final."""

    CLEAR = "CLEAR"
    WARN = "WARN"
    BLOCK = "BLOCK"
    """No new risk."""
    FLATTEN = "FLATTEN"
    """Close everything."""

"""How often an account that cannot be read is cried out: at first, after 30 s, 2 min, 10 min, then every 10 min."""

import math

_ESCALATIONS = (30.0, 120.0, 600.0)
_EVERY_SECONDS = 600.0
_LONGEST_SECONDS = 1e9


def level(age: float, blind_after: float) -> int:
    """The level of alarm: 0 while the last VALID reading is at most `blind_after` seconds old, then 1, 2, 3 ...

    `blind_after` is up to 600. `age` is in monotonic seconds; infinite counts as 30 years. An alarm is due whenever the
    level is higher than it was; it falls back to 0 with the next VALID reading.
    """
    age = min(age, _LONGEST_SECONDS)
    if age <= blind_after:
        return 0
    passed = 1 + sum(blind_after < threshold < age for threshold in _ESCALATIONS)
    return passed + max(0, math.ceil((age - _ESCALATIONS[-1]) / _EVERY_SECONDS) - 1)

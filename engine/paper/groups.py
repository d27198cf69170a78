"""The `group` filter of MT5's functions: "*USD*,!EURUSD" takes what matches in order, "!" takes out again."""

from fnmatch import fnmatchcase


def in_group(symbol: str, group: str) -> bool:
    """Whether a symbol is in a group. Conditions are separated by commas, applied in order; `*` is any text."""
    taken = False
    for condition in group.split(","):
        pattern = condition.strip()
        excluded = pattern.startswith("!")
        # Only the star is special in MT5.
        literal = pattern.removeprefix("!").replace("[", "[[]").replace("?", "[?]")
        if fnmatchcase(symbol, literal):
            taken = not excluded
    return taken

"""Whether one set of rules is looser than another, table by table: what a profile may not do while money is at stake.

In: the rules in force and the rules a profile now has, as plain values. Out: what is looser, in words, and the set that
holds meanwhile: every tightening at once, of every loosening the old table.
"""

from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Any]

_SMALLER_IS_STRICTER = (
    "limit_percent",
    "percent",
    "money",
    "act_at",
    "warn_at",
    "most",
    "most_per_symbol",
    "most_per_minute",
    "losses",
    "preset_act_at",
)
_GREATER_IS_STRICTER = ("warn_money", "warn_percent", "cooldown_seconds", "window_seconds", "stops_trailing_at")
_FLOORS = ("equity_floor", "margin_level")
"""Tables whose `money` or `percent` is a floor: the higher one is the stricter."""
_ACTIONS = ("warn", "block", "flatten", "flatten and lock")


def rules_in_force(in_force: Table, wanted: Table) -> tuple[dict[str, Any], list[str]]:
    """The rules that hold while nothing may be loosened, and what `wanted` would loosen. Both as dumped settings."""
    result: dict[str, Any] = {}
    said: list[str] = []
    for key in dict.fromkeys((*in_force, *wanted)):
        old, new = in_force.get(key), wanted.get(key)
        if key == "presets":
            dropped = [name for name in old or () if name not in (new or ())]
            said += [f"preset {name} is left out" for name in dropped]
            result[key] = [*(new or ()), *dropped]
        elif key == "loss":
            result[key], looser = _losses(old or (), new or ())
            said += looser
        elif isinstance(old, Mapping) or isinstance(new, Mapping) or old is None:
            looser = _table_looser(key, old, new)
            said += looser
            result[key] = old if looser else new
        else:
            looser = _value_looser(key, key, old, new)
            said += looser
            result[key] = old if looser else new
    return result, said


def _losses(old: Any, new: Any) -> tuple[list[Any], list[str]]:
    said: list[str] = []
    kept = {rule["name"]: rule for rule in new}
    for rule in old:
        looser = _table_looser(rule["name"], rule, kept.get(rule["name"]))
        if looser:
            said += looser
            kept[rule["name"]] = rule
    return list(kept.values()), said


def _table_looser(name: str, old: Table | None, new: Table | None) -> list[str]:
    if old is None or old == new:
        return []
    if new is None:
        return [f"{name} is left out"]
    return [
        said
        for key in dict.fromkeys((*old, *new))
        for said in _value_looser(name, key, old.get(key), new.get(key), floor=name in _FLOORS)
    ]


def _value_looser(name: str, key: str, old: Any, new: Any, *, floor: bool = False) -> list[str]:
    """What is looser in one value. What cannot be compared, as another basis or zone, counts as looser."""
    if old == new:
        return []
    said = f"{name}: {key} {_words(old)} -> {_words(new)}" if name != key else f"{key} {_words(old)} -> {_words(new)}"
    if key == "action":
        return [] if _ACTIONS.index(new) > _ACTIONS.index(old) else [said]
    if not _is_number(new) or not _is_number(old):
        # A limit that was not there before only adds to what is refused.
        return [] if old is None and _is_number(new) and key in _SMALLER_IS_STRICTER else [said]
    smaller = key in _SMALLER_IS_STRICTER and not (floor and key in ("money", "percent"))
    if smaller:
        return [] if new < old else [said]
    if key in _GREATER_IS_STRICTER or floor:
        return [] if new > old else [said]
    return [said]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(value: Any) -> str:
    return "none" if value is None else str(value)

"""Whether one set of rules is looser than another, table by table: what a profile may not do while money is at stake.

In: the rules in force and the rules a profile now has, as plain values. Out: what is looser, in words, and the set that
holds meanwhile: every tightening at once, of every loosening the old table.
"""

from collections.abc import Mapping
from typing import Any

from engine.guards.presets import preset_rules

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
    dropped = [name for name in in_force.get("presets") or () if name not in (wanted.get("presets") or ())]
    for key in dict.fromkeys((*in_force, *wanted)):
        old, new = in_force.get(key), wanted.get(key)
        if key == "presets":
            said += [f"preset {name} is left out" for name in dropped]
            result[key] = [*(new or ()), *dropped]
        elif key == "loss":
            # A rule that takes the place of a preset's is not in force beside it: names must differ.
            taken = _names_of(dropped)
            result[key], looser = _losses(old or (), [rule for rule in new or () if rule["name"] not in taken])
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
    # Two new rules of one name stay two, so that the guards' builder refuses them.
    kept = list(new)
    for rule in old:
        place = next((at for at, other in enumerate(kept) if other["name"] == rule["name"]), len(kept))
        looser = _table_looser(rule["name"], rule, kept[place] if place < len(kept) else None)
        if looser:
            said += looser
            kept[place : place + 1] = [rule]
    return kept, said


def _names_of(presets: list[Any]) -> set[str]:
    return {rule.name for preset in presets for rule in preset_rules(preset, 1.0)}


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

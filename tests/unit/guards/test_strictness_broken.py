"""Ways in which a looser profile once got through, or kept an engine from starting."""

from typing import Any

import pytest

from engine.config import DrawdownSettings
from engine.guards.build import build
from engine.guards.settings import GuardSettings
from engine.guards.strictness import rules_in_force
from engine.risk import rules_of

DAILY = {"name": "daily loss", "basis": "day-start balance", "percent": 5.0}


def dumped(**guards: Any) -> dict[str, Any]:
    return rules_of(DrawdownSettings(), GuardSettings(**guards))


def built(rules: dict[str, Any]) -> list[str]:
    settings = GuardSettings(**{key: value for key, value in rules.items() if key != "drawdown"})
    return [guard.name for guard in build(settings)]


@pytest.mark.parametrize("before", [{}, {"loss": [DAILY]}])
def test_two_rules_of_one_name_are_refused_at_every_start_and_neither_is_dropped(before: Any) -> None:
    twice = dumped(loss=[DAILY, {**DAILY, "percent": 4.0}])
    in_force, _ = rules_in_force(dumped(**before), twice)
    with pytest.raises(ValueError, match="daily loss"):
        built(in_force)


def test_a_preset_that_a_table_of_its_name_takes_the_place_of_stays_until_a_reset() -> None:
    own = {"name": "static max loss", "basis": "initial", "percent": 20.0}
    in_force, loosened = rules_in_force(dumped(presets=["static"]), dumped(loss=[own]))
    assert any("static" in said for said in loosened)
    assert built(in_force) == ["static max loss"]
    assert in_force["presets"] == ["static"]

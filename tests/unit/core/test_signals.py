import random

import pytest

from engine.signals import OPEN_STATES, TRANSITIONS, SignalState, is_ours, magic_of, new_id
from engine.state import TRANSITIONS as MODE_TRANSITIONS
from engine.state import EngineMode, IllegalTransition, check_transition


def test_ids_are_eight_unmistakable_characters_and_come_from_the_seed() -> None:
    first = [new_id(random.Random(7)) for _ in range(2)]
    assert first[0] == first[1]
    assert len(first[0]) == 8
    assert not set(first[0]) & set("ILOU")


def test_the_magic_number_of_an_id_is_unique_ours_and_fits_a_signed_64_bit_integer() -> None:
    randomness = random.Random(1)
    ids = {new_id(randomness) for _ in range(2_000)}
    magics = {magic_of(signal_id) for signal_id in ids}
    assert len(magics) == len(ids)
    assert all(is_ours(magic) and magic < 2**63 for magic in magics)


@pytest.mark.parametrize("magic", [0, 1, 123_456, 2**40, 2**62])
def test_other_programs_numbers_are_not_ours(magic: int) -> None:
    assert not is_ours(magic)


def test_every_state_has_its_row_and_finished_ones_lead_nowhere() -> None:
    assert TRANSITIONS.keys() == set(SignalState)
    assert not OPEN_STATES & {SignalState.EXECUTED, SignalState.REJECTED, SignalState.EXPIRED, SignalState.BLOCKED}


def test_execution_is_reached_from_approval_only() -> None:
    assert [state for state, after in TRANSITIONS.items() if SignalState.EXECUTING in after] == [SignalState.APPROVED]


def test_approval_is_reached_from_pending_only() -> None:
    assert [state for state, after in TRANSITIONS.items() if SignalState.APPROVED in after] == [SignalState.PENDING]


def test_a_halt_is_left_by_a_reset_to_paused_or_by_another_flatten_only() -> None:
    assert MODE_TRANSITIONS[EngineMode.HALTED] == {EngineMode.PAUSED, EngineMode.FLATTENING}


def test_every_mode_can_be_flattened_but_the_one_that_is() -> None:
    for mode in set(EngineMode) - {EngineMode.FLATTENING}:
        check_transition(mode, EngineMode.FLATTENING)


def test_running_is_never_reached_from_a_halt_or_a_flatten() -> None:
    for mode in (EngineMode.HALTED, EngineMode.FLATTENING, EngineMode.STARTING):
        with pytest.raises(IllegalTransition):
            check_transition(mode, EngineMode.RUNNING)

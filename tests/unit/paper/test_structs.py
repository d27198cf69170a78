import copy
import pickle

import pytest

from engine.paper import structs


def test_struct_is_a_tuple_with_names_and_a_dict() -> None:
    tick = structs.Tick([1, 1.1, 1.2, 0.0, 0, 1000, 6, 0.0])
    assert isinstance(tick, tuple)
    assert tick.bid == tick[1] == 1.1
    assert tick._asdict() == dict(zip(structs.CONTRACT["structs"]["Tick"]["fields"], tick, strict=True))
    assert tick == (1, 1.1, 1.2, 0.0, 0, 1000, 6, 0.0)
    assert repr(tick).startswith("Tick(time=1, bid=1.1, ask=1.2,")
    assert copy.copy(tick) == tick


def test_struct_lacks_what_a_namedtuple_has() -> None:
    assert not hasattr(structs.Tick, "_fields")
    assert not hasattr(structs.Tick, "_replace")
    assert structs.Tick.__module__ == "builtins"
    assert structs.Tick.n_fields == structs.Tick.n_sequence_fields == 8
    assert structs.Tick.n_unnamed_fields == 0


def test_struct_cannot_be_pickled_as_in_the_wheel() -> None:
    with pytest.raises(pickle.PicklingError, match="Can't pickle <class 'Tick'>"):
        pickle.dumps(structs.Tick(range(8)))


def test_struct_is_read_only_and_complete() -> None:
    tick = structs.Tick(range(8))
    for name in ("bid", "unheard_of"):
        with pytest.raises(AttributeError):
            setattr(tick, name, 2.0)
    with pytest.raises(TypeError, match="8-sequence"):
        structs.Tick(range(7))


def test_struct_can_be_matched_by_name() -> None:
    match structs.BookInfo([1, 1.5, 3, 3.0]):
        case structs.BookInfo(price=price):
            assert price == 1.5

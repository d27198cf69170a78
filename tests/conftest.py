"""In which order the tests run."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the end-to-end tests among the others: they mostly wait, and leave the processor to what reckons."""
    waiting = [item for item in items if "/e2e/" in item.path.as_posix()]
    reckoning = [item for item in items if "/e2e/" not in item.path.as_posix()]
    if not waiting or not reckoning:
        return
    share = len(reckoning) / len(waiting)
    items.clear()
    for place, item in enumerate(waiting):
        items.append(item)
        items += reckoning[round(place * share) : round((place + 1) * share)]

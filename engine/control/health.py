"""What /healthz says: whether guard cycles are completed, and how many have been, so that progress is seen."""

from engine.control.wire import Wire


class Health(Wire):
    """An engine's pulse. Whoever watches it compares two answers: another run or a higher count is progress."""

    healthy: bool
    message: str
    loop_id: str
    """The run; a restart has another."""
    cycles: int
    """Guard cycles that this run has completed, with whatever verdict."""

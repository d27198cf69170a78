"""What can go wrong between a console and an engine, as sentences for the operator. Imports nothing heavy."""


class EngineUnreachable(Exception):
    """No engine answers at the address, or it has gone in the middle of a call."""


class AnswerLost(EngineUnreachable):
    """The engine was there, but its answer did not come: what was asked may or may not have been done."""


class EngineStopped(EngineUnreachable):
    """The stream was ended by an engine that was told to stop: it has not died and need not be restarted."""


class ControlError(Exception):
    """The engine answered with a problem. `status` is the HTTP status, 0 when the answer made no sense."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status

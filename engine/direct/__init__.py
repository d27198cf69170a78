"""Closing everything without the engine: when it is dead, hung or stopped.

    ask the engine (2 s) -> write the kill file -> kill engine and gateways -> wait for their death -> take the lock
    -> close, by the engine's own flatten -> hold the lock until the broker confirms that the account is flat

In: a profile and a reason. Out: lines for whoever asked, an exit code, and a record beside the journal that the next
start merges. It needs neither the journal nor the control socket.
"""

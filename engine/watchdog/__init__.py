"""A process beside the engine that sees whether guard cycles go on, and acts when they do not.

    look -> Seen -> judge -> Decision -> alerts, hands

`judge` decides and touches nothing; `look` and `hands` touch the machine and decide nothing; `run` puts them together.
"""

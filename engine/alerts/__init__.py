"""Alerts: what an operator must be told although nobody is looking, and how it reaches a phone.

In: what the journal is given to record. Out: open alerts, on every console and at every target, until somebody
acknowledges them. Nothing that guards, closes or cancels ever waits for any of it.
"""

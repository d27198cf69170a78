"""A headless trading engine for MetaTrader 5: approvals, execution once, a drawdown guard, a proven flatten.

`AccountEngine` is one account's engine; `python -m engine` runs it as a process. Nothing here imports the console.
"""

"""A simulated MT5 terminal: market, account, process, and a client module with the MetaTrader5 interface."""

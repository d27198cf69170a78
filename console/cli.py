"""The command line: every command of the console, for scripts and for when there is no screen.

In: arguments. Out: text or JSON, and an exit code: 0 done, 1 refused, 2 usage or a confirmation that nobody can give,
3 a flatten that has not ended in time, 4 no engine. What takes long to import is imported by the command that needs it.
"""

import re
import signal as signals_of_the_system
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from console.cli_alerts import add_commands as add_alert_commands
from console.cli_close import close_commands
from console.cli_parts import AsJson, Reason, Yes, attach_to, attached_to, own_engine
from console.cli_parts import checked as _checked
from console.cli_parts import checked_reason as _checked_reason
from console.cli_parts import confirm as _confirm
from console.cli_parts import perform as _perform
from console.cli_risk import add_commands
from console.cli_service import service_commands
from console.cli_token import token_commands
from console.cli_watchdog import add_watchdog

app = typer.Typer(
    name="quarterdeck",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Approve, watch, flatten: an operator console for a MetaTrader 5 account. Without a command it opens.",
)
signal_commands = typer.Typer(rich_markup_mode=None, help="Propose trades.")
journal_commands = typer.Typer(rich_markup_mode=None, help="The record of all that happened.", no_args_is_help=True)
app.add_typer(signal_commands, name="signal", no_args_is_help=True)
app.add_typer(journal_commands, name="journal")
app.add_typer(close_commands, name="close")
app.add_typer(token_commands, name="token")
app.add_typer(service_commands, name="service")
add_commands(app)
add_alert_commands(app)
add_watchdog(app)

_NAMED_SIGNAL = re.compile(r"^([^@\s]{1,64})(?:@([0-9]{1,18}))?$")

NamedSignal = Annotated[str, typer.Argument(metavar="ID[@VERSION]", help="The signal, at the version that was seen.")]


class Side(StrEnum):
    """The direction of a trade."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How a position is opened."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


class Colours(StrEnum):
    """How many colours the console sends to its terminal."""

    NONE = "none"
    SIXTEEN = "16"
    MANY = "256"
    TRUE = "true"


def main() -> None:
    """Run the command line and exit with its code."""
    app()


@app.callback(invoke_without_command=True)
def _console(
    context: typer.Context,
    profile: Annotated[
        str, typer.Option(envvar="QUARTERDECK_PROFILE", help="The account's profile.", metavar="NAME")
    ] = "paper",
    socket: Annotated[
        str | None,
        typer.Option(
            envvar="QUARTERDECK_SOCKET",
            help="Another user's engine, at its shared socket. Never starts one.",
            metavar="PATH",
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only look: the engine refuses whatever acts.")
    ] = False,
    low_bandwidth: Annotated[
        bool, typer.Option("--low-bandwidth", envvar="QUARTERDECK_LOW_BANDWIDTH", help="Send the terminal less.")
    ] = False,
    colours: Annotated[Colours | None, typer.Option(help="How many colours; default: what the terminal says.")] = None,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Send ASCII only.")] = False,
) -> None:
    context.obj = profile
    attach_to(context, socket, read_only)
    if context.invoked_subcommand is not None:
        return
    if sys.platform != "win32":
        # Under nohup a hang-up is ignored, and a console would live on and spin on its dead terminal.
        signals_of_the_system.signal(signals_of_the_system.SIGHUP, signals_of_the_system.SIG_DFL)
    import os

    from console.run import run_console
    from console.terminal import Colours as Known
    from console.terminal import detect
    from engine.control.errors import ControlError

    known = None if colours is None else Known(colours.value)
    terminal = detect(os.environ, colours=known, ascii_only=ascii_only, low_bandwidth=low_bandwidth)
    try:
        code = run_console(profile, terminal, socket=socket, read_only=read_only)
    except ControlError as error:
        print(f"quarterdeck: {error}", file=sys.stderr)  # noqa: T201
        code = 1
    raise typer.Exit(code)


@app.command(
    "engine",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    options_metavar="[--replay FILE]... [--symbol S] [--speed X|max] [--seed N] [--broker FILE] [--faults FILE] "
    "[--terminal MODULE]",
)
def _engine(context: typer.Context) -> None:
    """Run the engine in the foreground, without any screen."""
    own_engine(context, "an engine")
    from engine.__main__ import main as run_engine

    raise typer.Exit(run_engine(["--profile", context.obj, *context.args]))


@app.command("status")
def _status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the account, the guard and the engine."""
    from console import output

    async def _task(client: Any) -> int:
        snapshot = await client.snapshot()
        if as_json:
            output.say_json(output.status_json(snapshot))
        else:
            output.say(output.status_text(snapshot))
        return 0

    _perform(context, _task)


@app.command("positions")
def _positions(context: typer.Context, as_json: AsJson = False) -> None:
    """List the open positions."""
    from console import output

    async def _task(client: Any) -> int:
        positions = (await client.snapshot()).positions
        if as_json:
            output.say_json(output.positions_json(positions))
        else:
            output.say(output.positions_text(positions))
        return 0

    _perform(context, _task)


@app.command("orders")
def _orders(context: typer.Context, as_json: AsJson = False) -> None:
    """List the orders that stand at the broker, whoever placed them."""
    from console import output

    async def _task(client: Any) -> int:
        orders = (await client.snapshot()).orders
        if as_json:
            output.say_json([order.model_dump(mode="json") for order in orders])
        else:
            output.say(output.orders_text(orders))
        return 0

    _perform(context, _task)


@app.command("signals")
def _signals(context: typer.Context, as_json: AsJson = False) -> None:
    """List the signals that wait for approval or are under way."""
    from console import output

    async def _task(client: Any) -> int:
        signals = (await client.snapshot()).signals
        if as_json:
            output.say_json([signal.model_dump(mode="json") for signal in signals])
        else:
            output.say(output.signals_text(signals))
        return 0

    _perform(context, _task)


@signal_commands.command("add")
def _signal_add(
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="The symbol, as the broker writes it.")],
    side: Annotated[Side, typer.Option(help="The direction.")],
    volume: Annotated[float | None, typer.Option(help="Lots; or say --risk.")] = None,
    risk: Annotated[
        float | None, typer.Option(help="Percent of the equity that the stop may cost; the volume follows.")
    ] = None,
    kind: Annotated[OrderType, typer.Option("--type", help="At market, or an order that waits.")] = OrderType.MARKET,
    sl: Annotated[float | None, typer.Option(help="Price of the stop loss.")] = None,
    tp: Annotated[float | None, typer.Option(help="Price of the take profit.")] = None,
    entry: Annotated[
        float | None,
        typer.Option(
            help="Price of a limit or stop order; at market the reference for drift (default: the price now)."
        ),
    ] = None,
    good_for: Annotated[
        float | None, typer.Option(help="Seconds a limit or stop order stands; default: as the profile says.")
    ] = None,
    expires: Annotated[float, typer.Option(help="Seconds until it expires.")] = 300.0,
    note: Annotated[str, typer.Option(help="A note for who approves it.")] = "",
) -> None:
    """Propose a trade and print the new signal's id. It waits for approval."""
    from console import calls
    from engine.control.messages import AddSignal

    action = _checked(
        AddSignal,
        symbol=symbol,
        side=str(side),
        volume=volume,
        risk_percent=risk,
        type=str(kind),
        order_seconds=good_for,
        sl=sl,
        tp=tp,
        entry=entry,
        expires_seconds=expires,
        note=note,
    )
    _perform(context, lambda client: calls.add_signal(client, action))


@app.command("approve")
def _approve(context: typer.Context, named: NamedSignal) -> None:
    """Approve a signal; without a version the present one is read, printed and approved."""
    from console import calls
    from engine.control.messages import Approve

    name, version = _signal_and_version(named)
    _perform(context, lambda client: calls.decide(client, Approve, name, version, ""))


@app.command("reject")
def _reject(context: typer.Context, named: NamedSignal, reason: Reason = "") -> None:
    """Reject a signal."""
    from console import calls
    from engine.control.messages import Reject

    name, version = _signal_and_version(named)
    checked = _checked_reason(reason)
    _perform(context, lambda client: calls.decide(client, Reject, name, version, checked))


@app.command("cancel")
def _cancel(context: typer.Context, named: NamedSignal, reason: Reason = "") -> None:
    """Take a signal's limit or stop order out at the broker. Works in every mode."""
    from console import calls
    from engine.control.messages import Cancel

    name, version = _signal_and_version(named)
    checked = _checked_reason(reason)
    _perform(context, lambda client: calls.decide(client, Cancel, name, version, checked))


@app.command("pause")
def _pause(context: typer.Context, reason: Reason = "") -> None:
    """Block entries. Closing goes on working."""
    from console import calls
    from engine.control.messages import Pause

    checked = _checked_reason(reason)
    _perform(context, lambda client: calls.act(client, Pause(), checked))


@app.command("resume")
def _resume(context: typer.Context, reason: Reason = "") -> None:
    """Let entries through again."""
    from console import calls
    from engine.control.messages import Resume

    checked = _checked_reason(reason)
    _perform(context, lambda client: calls.act(client, Resume(), checked))


@app.command("flatten")
def _flatten(
    context: typer.Context,
    yes: Yes = False,
    reason: Reason = "",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the broker's confirmation.")] = 60.0,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct",
            help="Do without an engine that does not answer: kill it and its gateways, close from here, stay until"
            " flat. Leaves a kill file.",
        ),
    ] = False,
) -> None:
    """Cancel and close everything on the account, then halt. Waits until the broker confirms that it is flat."""
    from console import calls

    checked = _checked_reason(reason)
    if direct:
        own_engine(context, "a direct flatten")
        if attached_to(context).read_only:
            raise typer.BadParameter("found it with --direct, which asks no engine", param_hint="--read-only")
        from console.cli_direct import flatten_directly

        raise typer.Exit(flatten_directly(context.obj, yes, checked))
    _confirm(context, yes, "Close every position and cancel every order")
    _perform(context, lambda client: calls.flatten(client, checked, timeout))


@app.command("events")
def _events(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    after: Annotated[int, typer.Option(min=0, max=2**63 - 1, metavar="SEQ", help="Only those behind this one.")] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with each event as it happens, until Ctrl+C.")
    ] = False,
) -> None:
    """Print the journal's events, newest last."""
    from console import calls

    _perform(
        context,
        lambda client: calls.events(client, after, as_json=as_json, follow=follow),
        interrupted=calls.DONE if follow else calls.INTERRUPTED,
    )


@journal_commands.command("verify")
def _verify(context: typer.Context) -> None:
    """Verify the chain of hashes and the state that is derived from it. Needs no running engine."""
    own_engine(context, "verifying a journal")
    from console import output
    from engine.config import SettingsError, state_folder
    from engine.journal import verify
    from engine.projection import SCHEMA, project

    try:
        path = state_folder(context.obj) / "journal.db"
    except SettingsError as error:
        output.complain(str(error))
        raise typer.Exit(2) from None
    report = verify(path, schema=SCHEMA, project=project)
    if not report.ok:
        output.complain(report.problem)
        raise typer.Exit(1)
    output.say(f"{report.events} events: ok")


@app.command("stop")
def _stop(context: typer.Context, reason: Reason = "") -> None:
    """Stop the engine. Positions stay as they are, with their stops at the broker, and nothing guards them."""
    from console import calls
    from engine.control.messages import Stop

    checked = _checked_reason(reason)
    _perform(context, lambda client: calls.act(client, Stop(), checked))


def _signal_and_version(named: str) -> tuple[str, int | None]:
    found = _NAMED_SIGNAL.match(named)
    if found is None:
        raise typer.BadParameter(f"found {named[:80]!r}, expected ID or ID@VERSION, as K3V9X2QD@1")
    return found[1], int(found[2]) if found[2] else None


if __name__ == "__main__":
    main()

"""`quarterdeck alerts`, `ack`, `alert test`: what is open, who has seen it, and whether anybody can be reached.

In: what the operator typed. Out: lines or JSON. A test goes through the running engine, whose environment is what
counts on the day; without an engine it is delivered from here, and says so.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli_parts import AsJson, Reason, checked, checked_reason, perform

if TYPE_CHECKING:
    from engine.control.messages import AlertView

alert_commands = typer.Typer(rich_markup_mode=None, help="Reach somebody.", no_args_is_help=True)
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("alerts")(_alerts)
    app.command("ack")(_ack)
    alert_commands.command("test")(_test)
    alert_commands.callback()(_group)
    app.add_typer(alert_commands, name="alert")


def _group() -> None:
    """Reach somebody."""


def _alerts(context: typer.Context, as_json: AsJson = False) -> None:
    """List the open alerts: what happened, and who has been told."""
    from console import calls, output

    async def _task(client: Any) -> int:
        alerts = (await client.snapshot()).alerts
        if as_json:
            output.say_json([alert.model_dump(mode="json") for alert in alerts])
        else:
            output.say("\n".join(line for alert in alerts for line in alert_text(alert)) or "no alert is open")
        return calls.DONE

    perform(context, _task)


def _ack(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The alerts.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Whatever is open.")] = False,
    reason: Reason = "",
) -> None:
    """Acknowledge alerts: they are closed, and nothing more of them is sent."""
    from console import calls
    from engine.control.messages import Acknowledge

    if bool(ids) == everything:
        raise typer.BadParameter("expected the ids of open alerts, or --all", param_hint="ID or --all")
    action = checked(Acknowledge, ids=ids or [], all=everything)
    said = checked_reason(reason)
    perform(context, lambda client: calls.act(client, action, said))


def _test(context: typer.Context) -> None:
    """Send a test to every target, and say of each whether it was accepted."""
    from console import calls, output
    from engine.config import SettingsError, state_folder
    from engine.control.address import control_address

    try:
        there = asyncio.run(_answers(control_address(state_folder(context.obj))))
    except SettingsError as error:
        output.complain(str(error))
        raise typer.Exit(calls.USAGE) from None
    if there:
        perform(context, _through_the_engine)
    raise typer.Exit(_from_here(context.obj))


async def _answers(address: str) -> bool:
    from engine.control.client import ControlClient
    from engine.control.errors import EngineUnreachable

    async with ControlClient(address, "cli") as client:
        try:
            await client.snapshot()
        except EngineUnreachable:
            return False
    return True


async def _through_the_engine(client: Any) -> int:
    from console import calls, output
    from engine.control.messages import TestAlert

    after = (await client.snapshot()).seq
    result = await client.send(TestAlert())
    if not result.accepted:
        output.complain(f"refused: {result.message}")
        return calls.REFUSED
    waiting = list(result.data["targets"])
    failed = False
    try:
        async with asyncio.timeout(float(result.data["seconds"]) + _GRACE_SECONDS):
            while waiting:
                page = await client.events(after, 1000)
                for event in page.events:
                    after = event.seq
                    told = event.metadata
                    if result.data["test"] not in told.get("ids", ()) or told.get("target") not in waiting:
                        continue
                    waiting.remove(told["target"])
                    failed |= event.event_type != "alert_delivered"
                    output.say(_outcome(told["target"], told.get("reason")))
                if waiting and not page.events:
                    await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        for target in waiting:
            output.say(_outcome(target, "the engine has not said what became of it"))
    return calls.REFUSED if failed or waiting else calls.DONE


def _from_here(profile: str) -> int:
    from console import calls, output
    from engine.alerts.delivery import deliver_once
    from engine.config import SettingsError, load

    output.say("no engine runs: delivered from here, with the environment of this shell")
    try:
        settings = load(profile).alerts
    except SettingsError as error:
        output.complain(str(error))
        return calls.USAGE
    if not settings.targets:
        output.complain('nobody is told of alerts: the profile names no target; say [alerts] targets = ["phone"]')
        return calls.REFUSED
    text = f"This is a test of the alerts of profile {profile}, sent without an engine."
    results = deliver_once(settings, "warning", text, "Quarterdeck TEST")
    for result in results:
        output.say(_outcome(result.target, result.why))
    return calls.DONE if all(result.why is None for result in results) else calls.REFUSED


def _outcome(target: str, why: str | None) -> str:
    return f"{target}: accepted by the service" if why is None else f"{target}: FAILED, {why}"


def alert_text(alert: "AlertView") -> list[str]:
    """One alert for people: what, when, how often, who has been told."""
    from console import format as fmt

    times = f"  {alert.count} times" if alert.count > 1 else ""
    lines = [f"{alert.id}  {alert.severity.upper():8}  {fmt.stamp(alert.raised_at)} UTC{times}  {alert.text}"]
    told = f"told: {', '.join(alert.delivered_to) or 'nobody yet'}"
    return [*lines, f"       {told}", *(f"       not delivered: {item}" for item in alert.failing)]

"""The process that delivers: `python -m engine.alerts.child`. The only importer of the library that speaks to services.

In: one JSON object on the standard input, {"seconds": N, "messages": [{target, severity, title, body}]}. Out: one JSON
line a message, {"target", "why"}, as soon as it is known; `why` is null when the service has accepted it. It ends by
itself after N seconds, also when whoever started it is gone. What it says of a failure is made of a few fixed
sentences: a library's own words may hold an address or a part of it.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterable
from typing import Any, TextIO

from engine.alerts.addresses import EXIT_TOO_LONG, KEYRING_SERVICE, variable

_ANSWERED = re.compile(r"error=(\d{3})\b")
_TYPES = {"critical": "failure", "warning": "warning"}


class NoAddress(Exception):
    """The target has no address: says where one may be put."""


def reason(log: Iterable[str]) -> str:
    """Why a delivery failed, by what the library has logged of it."""
    for text in log:
        answered = _ANSWERED.search(text)
        if answered:
            return f"the service answered {answered[1]}"
        if "onnection error" in text:
            return "no connection, or no whole answer in time"
    return "the service has not accepted it"


def address_of(target: str) -> str:
    """A target's address, from the environment or else the keyring. Raises NoAddress."""
    found = os.environ.get(variable(target), "").strip()
    if found:
        return found
    try:
        import keyring
    except ImportError:
        raise NoAddress(
            f"no address: {variable(target)} is not set, and there is no keyring (extra 'keyring')"
        ) from None
    try:
        found = keyring.get_password(KEYRING_SERVICE, target) or ""
    except Exception:  # any back end may be the machine's, and its words may hold anything
        raise NoAddress(f"no address: {variable(target)} is not set, and this machine has no usable keyring") from None
    if not found:
        raise NoAddress(
            f"no address: {variable(target)} is not set, and the keyring has nothing for {KEYRING_SERVICE} {target}"
        )
    return found


def deliver(message: dict[str, str]) -> str | None:
    """Deliver one message. Returns why the service has not accepted it, None when it has."""
    import apprise

    try:
        address = address_of(message["target"])
    except NoAddress as error:
        return str(error)
    # A redirect would be answered by another page than the one that takes messages: accepted, and never delivered.
    asset = apprise.AppriseAsset(http_redirects=False, async_mode=False, storage_mode="memory")
    service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    if service is None or not isinstance(service, apprise.NotifyBase):
        return "its address is not one that can be used: see the list of services at Apprise"
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    log: list[str] = []
    accepted = sender.notify(
        body=message["body"],
        title=message["title"],
        notify_type=_TYPES[message["severity"]],
        body_format=apprise.NotifyFormat.TEXT,
        log_callback=lambda entry, service: log.append(entry.message),
    )
    return None if accepted else reason(log)


def main() -> None:
    """Read what is to be delivered, deliver it to all targets at once, and say of each what became of it."""
    if sys.platform != "win32":
        # What guards must never wait for a processor because of this.
        os.nice(10)
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # a plugin's print is no result
    asked = json.load(sys.stdin)
    timer = threading.Timer(float(asked["seconds"]), lambda: os._exit(EXIT_TOO_LONG))
    timer.daemon = True
    timer.start()
    # Imported once, before the threads.
    import apprise  # noqa: F401

    lock = threading.Lock()
    threads = [
        threading.Thread(target=_deliver_and_say, args=(message, results, lock), daemon=True)
        for message in asked["messages"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.close()


def _deliver_and_say(message: dict[str, Any], results: TextIO, lock: threading.Lock) -> None:
    try:
        why = deliver(message)
    except Exception as error:  # a plugin's bug is that target's failure; its words may hold the address
        why = f"the delivery failed with {type(error).__name__}"
    with lock:
        results.write(json.dumps({"target": message["target"], "why": why}) + "\n")
        results.flush()


if __name__ == "__main__":
    main()

"""The command palette: the console's commands by name, with the reason when one is not available."""

from collections.abc import Callable, Iterable
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from console.command import Command
from console.commands import COMMANDS


class CommandsProvider(Provider):
    """The palette's entries: the same commands, with the reason when one is not available."""

    def _entries(self) -> Iterable[tuple[Command, str, str, Callable[[], None]]]:
        from console.app import Console

        app = self.app
        if isinstance(app, Console):
            context = app.context()
            for command in COMMANDS:
                if command.name != "palette":
                    reason = command.unavailable(context)
                    # The palette reads its texts as markup, and a reason may name what came from outside.
                    said = (f"not now: {reason}" if reason else command.help()).replace("[", "(")
                    yield command, command.label(context), said, partial(app.perform, command, context.row)

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for command, title, said, run in self._entries():
            yield DiscoveryHit(f"{title}  ({command.keys()})", run, text=title, help=said)

    async def search(self, query: str) -> Hits:
        """The commands whose name matches."""
        matcher = self.matcher(query)
        for _, title, said, run in self._entries():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=said)

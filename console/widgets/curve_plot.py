"""The widget that shows the equity curve. Draws again only for new data, another size or another range."""

from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from console import curve as curves
from console.paced_app import PacedApp

if TYPE_CHECKING:
    from engine.control.messages import EquityCurve


class CurvePlot(Widget):
    """The curve in braille, or in what the terminal can draw."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"curve--equity", "curve--floor", "curve--peak"}

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.curve: EquityCurve | None = None
        self.zoomed = False
        self.drawn = 0
        """How often the curve has been drawn."""
        self._digits = 2
        self._text = Text("")
        self._of: tuple[object, ...] = ()

    def show(self, curve: "EquityCurve", digits: int) -> None:
        """Show this curve; the same points as before cost nothing."""
        if self.curve is None or curve != self.curve:
            self.curve, self._digits = curve, digits
            self.refresh()

    def toggle_zoom(self) -> None:
        """Fit the curve alone, or the curve and the limit."""
        self.zoomed = not self.zoomed
        self.refresh()

    def render(self) -> Text:
        """The drawing, made anew when something it depends on changed."""
        if self.curve is None:
            return Text("The curve is being fetched ...")
        if not self.curve.points:
            return Text("No reading has been recorded yet. The curve starts with the first one.")
        of = (id(self.curve), self.size, self.zoomed, self.app.theme)
        if of != self._of:
            self._of = of
            self.drawn += 1
            self._text = curves.draw(
                self.curve,
                self.size.width,
                self.size.height,
                self._style,
                digits=self._digits,
                zoomed=self.zoomed,
                dots=self._dots(),
            )
        return self._text

    def _dots(self) -> str:
        return self.app.terminal.marker if isinstance(self.app, PacedApp) else "braille"

    def _style(self, colour: int) -> Style:
        name = {curves.FLOOR_COLOUR: "floor", curves.PEAK_COLOUR: "peak"}.get(colour, "equity")
        return self.get_component_rich_style(f"curve--{name}", partial=True)

"""Textual's compositor, which forgets no change of the layout that has not been drawn.

The stock one may reckon the map of its widgets anew between two layouts, and compares the next layout with that: what
has gone meanwhile, a message in the corner above all, is not seen to have gone and stays on the terminal.
"""

from textual._compositor import Compositor, CompositorMap


class DrawnCompositor(Compositor):
    """Marks what is to be drawn again whenever the map changes."""

    @property
    def full_map(self) -> CompositorMap:
        """The map of all widgets."""
        before, found = self._full_map, super().full_map
        if found is not before:
            changed = (geometry.clip.intersection(geometry.region) for _, geometry in before.items() ^ found.items())
            self._dirty_regions.update(region for region in changed if region)
        return found

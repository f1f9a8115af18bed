"""Which square input sizes a model takes."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.errors import ConfigError


@dataclass(frozen=True)
class Sizes:
    """The sides a model's square input may have, px.

    :param native: the side it was trained at.
    :param step: every side is a multiple of this.
    :param smallest: below it the model's maps are too small for its windows.
    :param preferred: the side it has where none is asked for; None takes the native one.
    """

    native: int
    step: int
    smallest: int
    preferred: int | None = None

    @property
    def own(self) -> int:
        """The side that an input size of 0 stands for."""
        return self.preferred or self.native

    def choose(self, model: str, asked: int) -> int:
        """``asked``, or the model's own side where it is 0.

        :raises ConfigError: the model cannot take it; the message says which it takes.
        """
        if asked == 0:
            return self.own
        if asked % self.step or asked < self.smallest:
            raise ConfigError(
                f"{model} input_size {asked}: take a multiple of {self.step}, at least "
                f"{self.smallest} (0 takes its own, {self.own})"
            )
        return asked


def scaled_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width of an image after its longer side was brought to ``longest`` px."""
    scale = longest / max(height, width)
    # Half is rounded up, as in SAM; an image thinner than half a pixel keeps one.
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)

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
    """

    native: int
    step: int
    smallest: int

    def choose(self, model: str, asked: int) -> int:
        """``asked``, or the native side where it is 0.

        :raises ConfigError: the model cannot take it; the message says which it takes.
        """
        if asked == 0:
            return self.native
        if asked % self.step or asked < self.smallest:
            raise ConfigError(
                f"{model} input_size {asked}: take a multiple of {self.step}, at least "
                f"{self.smallest} ({self.native} is its own)"
            )
        return asked

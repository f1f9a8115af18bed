"""Whose is what several masks hold: of a target that is not there, nothing may stay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from samg_ros.masking.foreground import Foreground, own_cells

GRID = 16


def block(rows: slice, columns: slice) -> Tensor:
    """Bool [GRID, GRID], True there."""
    cells = torch.zeros(GRID, GRID, dtype=torch.bool)
    cells[rows, columns] = True
    return cells


LEFT, RIGHT = block(slice(2, 12), slice(1, 6)), block(slice(2, 12), slice(9, 14))


def kept(likeness: list[Tensor], cells: list[Tensor]) -> list[Tensor]:
    """What stays each target's own, bool [GRID, GRID] each."""
    foreground = Foreground(torch.stack(likeness)[None])
    return list(own_cells(foreground, torch.stack(cells)[None])[0])


def alike(background: float, *patches: tuple[Tensor, float]) -> Tensor:
    """Float [GRID, GRID]: the background's likeness, and that of some cells."""
    likeness = torch.full((GRID, GRID), background)
    for cells, value in patches:
        likeness[cells] = value
    return likeness


def test_of_two_on_one_thing_the_more_alike_keeps_it():
    """The second is hidden: SAM puts both masks on the first."""
    pen, goal = kept([alike(0.2, (LEFT, 0.8)), alike(0.2, (LEFT, 0.7))], [LEFT, LEFT])
    assert torch.equal(pen, LEFT) and not goal.any()


def test_masks_apart_do_not_contend():
    """Each is more alike to the other's thing than that is, but does not hold it."""
    first, second = kept([alike(0.2, (RIGHT, 0.9)), alike(0.2, (LEFT, 0.9))], [LEFT, RIGHT])
    assert torch.equal(first, LEFT) and torch.equal(second, RIGHT)


def test_pieces_of_several_others_are_no_target():
    """A hidden pen's mask holds the thumb and the goal, and each of those but a half of it."""
    hand, goal = alike(0.2, (LEFT, 0.9)), alike(0.2, (RIGHT, 0.8))
    pen = alike(0.2, (LEFT | RIGHT, 0.7))
    *_, own = kept([hand, goal, pen], [LEFT, RIGHT, LEFT | RIGHT])
    assert not own.any()


def test_what_a_mask_took_besides_its_own_is_not_counted():
    pen, goal = alike(0.2, (LEFT, 0.9), (RIGHT, 0.5)), alike(0.2, (LEFT, 0.6), (RIGHT, 0.8))
    own, other = kept([pen, goal], [LEFT, LEFT | RIGHT])
    assert torch.equal(own, LEFT) and torch.equal(other, RIGHT)


def test_its_own_place_stays_in_a_mask_that_took_more_of_a_rival():
    """The hand's mask spilt onto the pen, the pen's onto the palm: each keeps what it is."""
    palm, pen_there = block(slice(4, 16), slice(2, 14)), block(slice(0, 4), slice(2, 14))
    hand = alike(0.2, (palm, 0.9), (pen_there, 0.6))
    pen = alike(0.2, (palm, 0.6), (pen_there, 0.9))
    both = palm | pen_there
    of_hand, of_pen = kept([hand, pen], [both, both])
    assert torch.equal(of_hand, both)  # as a whole it is the more alike of the two
    inner = block(slice(0, 2), slice(2, 14))
    assert (of_pen & inner).sum() == inner.sum() and not (of_pen & palm).any()


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_like_coloured_neighbours_do_not_lose_single_cells(noise: float):
    """Finger and spinner are alike everywhere, up to noise that would give cells to either."""
    generator = torch.Generator().manual_seed(0)
    wobble = [noise * torch.randn(GRID, GRID, generator=generator) for _ in range(2)]
    finger, spinner = alike(0.2, (LEFT, 0.85)) + wobble[0], alike(0.2, (LEFT, 0.75)) + wobble[1]
    _, own = kept([finger, spinner], [LEFT, LEFT])
    assert not own.any()


def test_no_target_takes_from_itself_and_an_empty_mask_stays_empty():
    one, none = kept([alike(0.5), alike(0.9)], [LEFT, torch.zeros_like(LEFT)])
    assert torch.equal(one, LEFT) and not none.any()
    (alone,) = kept([alike(0.5)], [RIGHT])
    assert torch.equal(alone, RIGHT)


def test_at_most_one_of_those_that_hold_the_same_stays():
    """Never do two take it from each other, so that none would keep it."""
    values = (0.7, 0.75, 0.72)
    results = kept([alike(0.2, (LEFT, v)) for v in values], [LEFT] * 3)
    assert [bool(own.any()) for own in results] == [False, True, False]

"""The one rounding rule, and the grid."""

import pytest
import torch

from models.pixels import from_uint8, grid, to_uint8


def all_values() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8)


def test_the_ends_of_the_pixel_range_become_minus_one_and_one() -> None:
    assert from_uint8(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
    assert from_uint8(all_values()).dtype == torch.float32


def test_every_pixel_value_survives_the_way_there_and_back() -> None:
    assert torch.equal(to_uint8(from_uint8(all_values())), all_values())


def test_values_beyond_the_range_are_clamped() -> None:
    x = torch.tensor([-torch.inf, -7.0, -1.0001, 1.0001, 7.0, torch.inf])
    assert to_uint8(x).tolist() == [0, 0, 0, 255, 255, 255]


def test_the_border_between_two_values_lies_halfway() -> None:
    value = torch.arange(255)
    border = (value + 0.5) / 127.5 - 1.0
    assert to_uint8(border - 1e-5).tolist() == value.tolist()
    assert to_uint8(border + 1e-5).tolist() == (value + 1).tolist()


def test_a_pixel_is_what_the_documented_rule_says() -> None:
    """round(clamp(x/2 + 0.5, 0, 1) * 255), in Python's own floats; ties are left out."""
    x = torch.linspace(-1.5, 1.5, 3001)[:-1] + 1e-4
    expected = [round(min(max(v / 2 + 0.5, 0.0), 1.0) * 255) for v in x.tolist()]
    assert to_uint8(x).tolist() == expected


def test_mid_grey_is_128_and_the_next_float_below_it_is_127() -> None:
    """x = 0 is 127.5 exactly, the one tie there is, and goes to the even value."""
    assert to_uint8(torch.tensor([0.0, -(2.0**-24)])).tolist() == [128, 127]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_is_filled_row_by_row_and_white_where_images_run_out(channels: int) -> None:
    shades = torch.arange(10, 60, 10, dtype=torch.uint8)
    images = shades[:, None, None, None].expand(5, channels, 2, 3)
    sheet = grid(images, columns=3)
    assert sheet.shape == (channels, 4, 9)
    for channel in sheet:
        assert channel[::2, ::3].tolist() == [[10, 20, 30], [40, 50, 255]]
        assert torch.equal(channel[::2], channel[1::2])
        assert torch.equal(channel[:, ::3], channel[:, 2::3])


def test_pixels_and_channels_keep_their_places_within_a_tile() -> None:
    images = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 2, 2)
    sheet = grid(images, columns=2)
    assert torch.equal(sheet, torch.cat([images[0], images[1]], dim=2))


def test_a_grid_is_as_wide_as_high_unless_told_otherwise() -> None:
    images = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    assert grid(images).shape == (1, 6, 8)
    assert grid(images, columns=10).shape == (1, 2, 20)

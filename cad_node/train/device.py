"""Where training computes, with results that follow from the seed."""

from __future__ import annotations

import torch

from cad_node.errors import SettingsError


def usable_device(name: str) -> torch.device:
    """The device of this name, such as cpu or cuda:0; convolutions are told to repeat themselves.

    Raises
    ------
    SettingsError
        This machine has none.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch that was built without CUDA asserts
        raise SettingsError(f"This machine has no device '{name}'.", "Leave out --device.") from error
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return device

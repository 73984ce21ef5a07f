"""The text encoder beside the library's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lofi.backends.ace_step_v1.config import WEAK_TEXT_LAYERS, WEAKENING, TextConfig
from lofi.backends.ace_step_v1.text import TextEncoder, module_name
from tests.checkpoints.ace_step_v1 import TINY

CONFIG = TINY["umt5"]
LONGEST = 256


@pytest.mark.slow
@pytest.mark.parametrize("weakened", [False, True], ids=["ordinary", "weakened"])
def test_it_computes_what_the_library_computes(weakened: bool) -> None:
    from transformers import UMT5Config, UMT5EncoderModel  # it takes seconds

    torch.manual_seed(0)
    library = UMT5EncoderModel(UMT5Config.from_dict({**CONFIG, "use_cache": False})).eval()
    weights: dict[str, Tensor] = {
        own: tensor
        for name, tensor in library.state_dict().items()
        if (own := module_name(name)) is not None
    }
    encoder = TextEncoder(TextConfig.read(CONFIG))
    encoder.load_state_dict(weights)
    if weakened:  # the same by other means: the queries of those layers, scaled for good
        for index in WEAK_TEXT_LAYERS:
            library.encoder.block[index].layer[0].SelfAttention.q.weight.data *= WEAKENING
    ids = torch.randint(2, CONFIG["vocab_size"], (2, LONGEST))
    mask = torch.ones_like(ids)
    mask[1, LONGEST // 3 :] = 0
    with torch.inference_mode():
        expected = library(input_ids=ids, attention_mask=mask).last_hidden_state
    found = encoder(ids, mask, weakened=weakened)
    assert torch.allclose(found, expected, atol=2e-5)
    assert not torch.allclose(found, encoder(ids, mask, weakened=not weakened), atol=1e-3)

"""TINet against the released one."""

import pytest
import torch

from mmtpr.models.necks import TINet


def test_pseudo_word_matches_the_release(private_parity):
    case = torch.load(private_parity('word4per_mini.pt'), weights_only=True)
    tinet = TINet(in_dim=32, out_dim=64, hidden_dim=48).eval()
    tinet.load_state_dict(case['tinet'])
    words = tinet(case['image_feat'])
    assert words.shape == (5, 1, 64)
    torch.testing.assert_close(
        words[:, 0], case['pseudo_word'], atol=1e-4, rtol=0
    )


def test_several_words_per_image():
    tinet = TINet(in_dim=4, out_dim=6, hidden_dim=8, num_words=3)
    assert tinet(torch.randn(2, 4)).shape == (2, 3, 6)
    with pytest.raises(ValueError, match='num_words'):
        TINet(in_dim=4, out_dim=6, num_words=0)

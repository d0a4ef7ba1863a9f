"""WoRA: DoRA with learned weights of its two parts."""

from .dora import DoRALinear


class WoRALinear(DoRALinear):
    r"""Linear layer with weight :math:`m \odot V / \|V\|`, all learned.

    :math:`V = \beta W_0 + \alpha B A`; the scalars :math:`\alpha, \beta` of
    each layer train together with m, A and B. From `From Data Deluge
    to Data Curation: A Filtering-WoRA Paradigm for Efficient Text-based
    Person Search <https://arxiv.org/abs/2404.10292>`_.

    The arguments are those of :class:`DoRALinear`. Scalars and magnitudes
    should not decay:

    .. code-block:: python

        optim_wrapper = dict(
            paramwise_cfg=dict(
                custom_keys={
                    '.magnitude': dict(decay_mult=0.0),
                    '.alpha': dict(decay_mult=0.0),
                    '.beta': dict(decay_mult=0.0),
                }
            )
        )

    Args:
        linear (nn.Linear): The layer, with its pretrained weight in it.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Start of alpha. Defaults to 8.0.
        beta (float): Start of beta, > 0. Defaults to 1.0.
        norm_dim (str): ``'in'`` or ``'out'``. Defaults to ``'in'``.
        detach_norm (bool): Whether the norm is a constant for the gradient.
            Defaults to False.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha starts divided by the root of the rank.
            Defaults to False.
    """

    trained = ('lora_A', 'lora_B', 'magnitude', 'alpha', 'beta')

"""Losses of textual inversion: what a picture's pseudo words are to mean."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmtpr.models.losses import RetrievalFeatures, RetrievalLoss

from .composed_batch import check_several_ids
from .gather import gather_features


def inversion_losses(
    losses: Mapping[str, RetrievalLoss],
    prompts: Sequence[Tensor],
    goals: Mapping[str, Tensor | None],
    ids: Tensor,
    scale: Tensor | float,
    gather: bool = False,
) -> dict[str, Tensor]:
    """Compare prompts with pseudo words to what they are to mean.

    Args:
        losses (Mapping[str, RetrievalLoss]): By the names of their goals.
        prompts (Sequence[Tensor]): Features of prompts, each (B, D); a loss
            is the mean over them.
        goals (Mapping[str, Tensor | None]): Features that prompts are
            compared with, each (B, D).
        ids (Tensor): Ids of the B pairs.
        scale (Tensor | float): Factor of the cosines.
        gather (bool): Whether losses over pairs see the features of all
            processes, with gradient. Defaults to False.

    Returns:
        dict[str, Tensor]: ``loss_<name>`` -> scalar.

    Raises:
        ValueError: If all ids that a loss sees are equal; not checked where
            ``gather`` is False.
    """
    return {
        f'loss_{name}': sum(
            _compare(loss, prompt, goals[name], ids, scale, gather)
            for prompt in prompts
        )
        / len(prompts)
        for name, loss in losses.items()
    }


def _compare(loss, prompt, goal, ids, scale, gather) -> Tensor:
    features = RetrievalFeatures(
        image_feats=prompt,
        text_feats=goal.to(prompt.dtype),
        pids=ids,
        logit_scale=scale,
    )
    if gather and loss.across_processes:
        features = gather_features(features)
    if gather:
        check_several_ids(features.pids)
    return loss(features)

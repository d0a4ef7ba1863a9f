"""Facts of a config that an inferencer needs."""

from collections.abc import Callable
from typing import Any

from mmengine.config import Config

from mmtpr.checkpoints.read import read_for_runner
from mmtpr.models.data_preprocessor import collate_for
from mmtpr.structures.collate import build_collate


def as_config(cfg: Any) -> Config:
    """Make a Config of what may be a part of one.

    Args:
        cfg (Config | ConfigDict): A config.

    Returns:
        Config: The same, or one around it.
    """
    return cfg if isinstance(cfg, Config) else Config(cfg)


def config_in_checkpoint(weights: str) -> Config:
    """Read the config that mmengine puts into a checkpoint.

    Args:
        weights (str): The checkpoint.

    Returns:
        Config: The config.

    Raises:
        ValueError: If there is none.
    """
    content = read_for_runner(weights)
    info = (content.get('message_hub') or {}).get('runtime_info', {})
    text = info.get('cfg') or (content.get('meta') or {}).get('cfg')
    if not text:
        raise ValueError(
            f'The checkpoint "{weights}" holds no config; name one with '
            'model=.'
        )
    return Config.fromstring(text, file_format='.py')


def evaluator_tokens(cfg: Any) -> int:
    """Find how many of an image's cosines the evaluator averages.

    Args:
        cfg (Config): The config.

    Returns:
        int: ``topk_tokens`` of its ``PersonRetrievalMetric``, or 1.
    """
    evaluators = cfg.get('test_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    found = [e['topk_tokens'] for e in evaluators if 'topk_tokens' in e]
    return found[0] if found else 1


def collate_of(cfg: Any, model: Any) -> Callable:
    """Find what makes batches for a model.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model.

    Returns:
        Callable: From packed samples to a batch.
    """
    # mmengine's own takes names alone, and warns where there is none.
    named = (cfg.get('test_dataloader') or {}).get('collate_fn')
    if named is None:
        return collate_for(model.data_preprocessor)
    return build_collate(named)

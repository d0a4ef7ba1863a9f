"""Dataset wrapper whose samples say whether they train."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import Compose

from mmtpr.registry import DATASETS, TASK_UTILS
from mmtpr.utils.leftovers import refuse_leftovers

from ..filtered_dataset import FilteredDataset
from .selector import PairSelector

#: ``label_hat`` of a pair that nobody has decided on yet.
UNDECIDED = -1


@DATASETS.register_module()
@refuse_leftovers
class SelectedPairsDataset(FilteredDataset):
    """Mark the pairs that train: ``label_hat`` 1, or 0.

    No pair is taken out: those that do not train stay in the batch, where
    others are told from them, and losses of single pairs
    (:class:`mmtpr.models.losses.PairwiseLoss`) leave them out of their sum.
    :class:`RelevanceFilteredDataset` takes them out.

    With scores on disk (``mmtpr.ScoreSelector``) the marks stay as they are.
    With a selector that asks the model (``mmtpr.ConsensusDivision``) samples
    have ``pair_index``, and :class:`mmtpr.engine.hooks.PairSelectionHook` puts
    ``label_hat`` on them in the training process, so that no worker has marks
    of another epoch. Without this hook training stops at the first batch. A
    ``label_hat`` of 0 that a sample has already stays 0.

    Wraps any dataset of image-caption pairs, filtered and joined ones too; it
    must be the outermost itself.

    Args:
        dataset (dict | BaseDataset): The dataset.
        selector (dict | PairSelector): Config of a selector.
        plain_pipeline (Sequence[dict], optional): Transforms without chance,
            by which the model is asked what pairs cost: as a rule those of
            the test. Needed by a selector that asks the model. Defaults to
            None.
        lazy_init (bool): Whether to read annotations and scores only when
            they are needed. Defaults to False.

    Examples:
        >>> train_dataset = dict(
        ...     type='mmtpr.SelectedPairsDataset',
        ...     dataset=dict(type='mmtpr.CUHKPEDES', data_root='data/CUHK'),
        ...     selector=dict(type='mmtpr.ConsensusDivision'),
        ...     plain_pipeline=[dict(type='mmtpr.PackRetrievalInputs')],
        ... )
    """

    def __init__(
        self,
        dataset: Any,
        selector: dict | PairSelector,
        plain_pipeline: Sequence[dict] | None = None,
        lazy_init: bool = False,
    ) -> None:
        if isinstance(selector, dict):
            selector = TASK_UTILS.build(selector)
        if not isinstance(selector, PairSelector):
            raise TypeError(
                'SelectedPairsDataset needs a selector, such as dict(type='
                f"'mmtpr.ConsensusDivision'), got {selector!r}."
            )
        self.selector = selector
        if selector.needs_losses and not plain_pipeline:
            raise ValueError(
                f'{type(selector).__name__} asks the model what each pair '
                'costs: SelectedPairsDataset needs a '
                'plain_pipeline, without chance, such as the one of the test.'
            )
        self._plain = Compose(plain_pipeline or [])
        self._trained: np.ndarray | None = None
        super().__init__(dataset, lazy_init)

    def _load_scores(self) -> None:
        """Read the scores, before the data, which takes longer."""
        self.selector.prepare()

    def _keep(self) -> np.ndarray:
        """See :class:`FilteredDataset`; all pairs are kept."""
        if not self.selector.needs_losses:
            classes = self.selector.judge(self.dataset)
            self._trained = self.selector.trained(classes)
        return np.ones(len(self.dataset), dtype=bool)

    def plain_sample(self, index: int) -> Any:
        """Read a pair without chance.

        Args:
            index (int): Of the pair.

        Returns:
            Any: What ``plain_pipeline`` makes of it.
        """
        info = self.get_data_info(index)
        packed = self._plain(info)
        if packed is None:
            raise ValueError(
                'The plain_pipeline of SelectedPairsDataset gives nothing for '
                f'pair {index}, "{info.get("img_path")}". Take unreadable '
                'images out of the dataset.'
            )
        return packed

    def __getitem__(self, idx: int) -> Any:
        item = super().__getitem__(idx)
        index = int(idx) % len(self)
        sample: Any = (
            item.get('data_samples') if isinstance(item, dict) else None
        )
        if not hasattr(sample, 'set_metainfo'):
            raise ValueError(
                'SelectedPairsDataset marks packed samples: the pipeline of '
                'the wrapped dataset must end with mmtpr.PackRetrievalInputs.'
            )
        self._check_own(sample, index)
        if sample.get('label_hat') == 0:
            mark = 0
        elif self._trained is None:
            mark = UNDECIDED
        else:
            mark = int(self._trained[index])
        sample.set_metainfo(dict(pair_index=index, label_hat=mark))
        return item

    def _check_own(self, sample: Any, index: int) -> None:
        """Mind that mmengine replaces a sample that cannot be read."""
        told = sample.get('sample_idx')
        info = self.get_data_info(index)
        if told is not None and told != info.get('sample_idx', told):
            raise ValueError(
                f'Pair {index}, "{info.get("img_path")}", was replaced by '
                'another because its pipeline gave nothing: its mark would '
                'be that of a stranger. Take unreadable images out.'
            )

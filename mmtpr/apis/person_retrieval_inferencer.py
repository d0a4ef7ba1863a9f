"""Find persons in a folder of images, by a sentence or with a photo."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from torch import Tensor, nn

from mmtpr.evaluation.search import search
from mmtpr.registry import INFERENCERS
from mmtpr.utils.config_parts import build_pipeline, find_pipeline
from mmtpr.utils.deprecation import renamed_argument
from mmtpr.utils.fingerprint import scorer_fingerprint
from mmtpr.visualization import RetrievalVisualizer

from .config_facts import (
    as_config,
    collate_of,
    config_in_checkpoint,
    evaluator_tokens,
)
from .embedding import embed_gallery
from .gallery_files import list_images
from .gallery_index import (
    GalleryIndex,
    cached_index,
    files_fingerprint,
)
from .model_source import build_source, read_source
from .paraphrases import Paraphrases, add_paraphrases, paraphrase_means
from .queries import (
    Query,
    list_queries,
    reference_pairs,
    sample_of,
    warn_of_absent,
)
from .query_embedding import embed_queries, report_odd, stacked_vectors
from .results import check_count, draw_predictions, name_best, report_cut


@INFERENCERS.register_module()
class PersonRetrievalInferencer(BaseInferencer):
    """Rank the images of a gallery for queries.

    A query is a sentence; of a :class:`ComposedPersonRetriever` it is a
    reference image with a sentence that says what is to be different,
    ``dict(img_path='photo.jpg', caption='now in a red jacket')``.

    The gallery is embedded once, when the inferencer is made. Images that
    cannot be read are named in the log, left out and kept in
    ``inferencer.index.broken``.

    Args:
        model (str | Config, optional): Config or its path, with a
            ``test_dataloader`` whose pipeline is used; or a folder that a
            model was exported or saved to, without ``weights``. Defaults to
            None: the config inside the checkpoint.
        weights (str, optional): Checkpoint: full, or of the adapters or the
            trainable weights only. Defaults to None, what the model loads by
            itself.
        gallery (str | Sequence[str]): Folder of images, or their paths.
        cache (str, optional): File that keeps the embeddings of the gallery.
            They are used again as long as model, weights, transforms and
            images are the same, and made anew otherwise. Defaults to None.
        batch_size (int): Images embedded at a time. Defaults to 64.
        num_workers (int): Processes that read images. Defaults to 0.
        topk_tokens (int, optional): How many of an image's T cosines are
            averaged. Defaults to None: what the config's evaluator says, else
            1.
        device (str, optional): Defaults to None, the best there is.
        scope (str, optional): Scope of the model. Defaults to ``'mmtpr'``.
        show_progress (bool): Whether to show a progress bar. Defaults to
            False.
        allow_partial (bool): Whether to go on with a checkpoint that lacks
            weights that were trained with it. Defaults to False.

    Examples:
        >>> inferencer = PersonRetrievalInferencer(
        ...     'configs/wora_cuhk.py', 'wora_cuhk.pth', gallery='photos/')
        >>> found = inferencer('a woman in a red coat', num_results=10)
        >>> found['predictions'][0]['paths']
        >>> inferencer = PersonRetrievalInferencer(
        ...     'configs/fafa_clip_syncpr_itcpr.py', 'fafa.pth', 'photos/')
        >>> query = dict(img_path='her.jpg', caption='now in a red coat')
        >>> inferencer(query, exclude_reference=True)
    """

    forward_kwargs = {'num_results', 'topk', 'exclude_reference', 'added'}
    visualize_kwargs = {'show', 'wait_time', 'out_dir'}

    def __init__(
        self,
        model: str | Config | None = None,
        weights: str | None = None,
        gallery: str | os.PathLike | Sequence[str] = (),
        cache: str | os.PathLike | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        topk_tokens: int | None = None,
        device: str | None = None,
        scope: str | None = 'mmtpr',
        show_progress: bool = False,
        allow_partial: bool = False,
    ) -> None:
        if topk_tokens is not None and topk_tokens < 1:
            raise ValueError(
                f'topk_tokens must be at least 1, got {topk_tokens}.'
            )
        paths = list_images(gallery)
        self._allow_partial = allow_partial
        if isinstance(model, str | os.PathLike) and os.path.isdir(model):
            model = read_source(model, weights)
        super().__init__(model, weights, device, scope, show_progress)
        self.topk_tokens = topk_tokens or evaluator_tokens(self.cfg)
        self.index = self._index(paths, cache, batch_size, num_workers)

    def __call__(
        self,
        inputs: Query | Sequence[Query],
        return_datasamples: bool = False,
        batch_size: int = 64,
        **kwargs,
    ) -> dict[str, Any]:
        """Rank the gallery.

        Args:
            inputs (str | dict | Sequence): One query or several: sentences,
                or dicts of ``img_path`` and ``caption``.
            return_datasamples (bool): Must be False; a ranking is no data
                sample.
            batch_size (int): Queries embedded at a time. Defaults to 64.
            **kwargs: ``num_results`` (int, images to name, defaults to
                10),
                ``exclude_reference`` (bool, whether a query's own image is
                left out), ``paraphrases`` (list for one query, dict of lists
                by sentence, or function of a sentence that gives a list; the
                mean of their embeddings is added to the query's),
                ``paraphrase_weight`` (float, of that mean, defaults to 1),
                ``show`` (bool), ``wait_time`` (float, seconds), ``out_dir``
                (str, folder for one PNG a query).

        Returns:
            dict: ``predictions``, one ``dict(query=..., paths=[...],
            scores=[...])`` a query, best first, with its ``reference`` where
            there is one; ``visualization``, one RGB array a query if one was
            asked for, else None.

        Raises:
            FileNotFoundError: If a reference image is absent.
            ValueError: If a query is not of the model's form, a sentence is
                empty or an argument unknown.
        """
        if kwargs.get('topk') is not None and 'num_results' in kwargs:
            raise ValueError(
                'topk is the former name of num_results: give num_results '
                'alone.'
            )
        out_dir = kwargs.get('out_dir')
        if out_dir is not None and os.path.isfile(out_dir):
            raise ValueError(f'out_dir "{out_dir}" is a file, not a folder.')
        if return_datasamples:
            raise ValueError(
                'return_datasamples is not possible: a ranking is no data '
                'sample. Read "predictions".'
            )
        queries = self._inputs_to_list(inputs)
        report_odd(queries, self._pipeline)
        weight = kwargs.pop('paraphrase_weight', 1.0)
        said: Paraphrases | None = kwargs.pop('paraphrases', None)
        if said is not None:
            parts = (self._pipeline, self.collate_fn, self.model, batch_size)
            kwargs['added'] = iter(
                paraphrase_means(
                    queries, said, lambda x: embed_queries(x, *parts), weight
                )
            )
        return super().__call__(queries, False, batch_size, **kwargs)

    def forward(
        self,
        inputs: dict,
        num_results: int = 10,
        exclude_reference: bool = False,
        topk: int | None = None,
        added: Iterator[Tensor] | None = None,
    ) -> list[dict]:
        """Embed queries and rank.

        Args:
            inputs (dict): Collated samples.
            num_results (int): Images to name. Defaults to 10.
            exclude_reference (bool): Whether a query's own image is left
                out of its ranking. Defaults to False.
            topk (int, optional): Former name of ``num_results``.
            added (Iterator[Tensor], optional): What is added to the vector
                (D, ) of each query in turn. Defaults to None.

        Returns:
            list[dict]: One prediction a query.

        Raises:
            ValueError: If ``num_results`` is not positive.
        """
        num_results = renamed_argument(
            type(self).__name__, 'topk', 'num_results', topk, num_results
        )
        check_count('num_results', num_results)
        samples = super().forward(inputs)
        query = stacked_vectors(samples)
        if added is not None:
            means = torch.stack([next(added) for _ in samples])  # (Q, D)
            query = add_paraphrases(query, means)
        references = [sample.get('img_path') for sample in samples]
        hidden = None
        if exclude_reference:
            hidden = reference_pairs(references, self.index.places)
            warn_of_absent(references, hidden)
        scores, indices = search(
            query,
            self.index.features,
            num_results,
            self.topk_tokens,
            equal=self.index.equal,
            hidden=hidden,
            narrow=True,
        )
        report_cut(samples)
        return [
            name_best(sample, row, places, self.index.paths)
            for sample, row, places in zip(
                samples, scores, indices, strict=True
            )
        ]

    def visualize(
        self,
        inputs: list[Query],
        preds: list[dict],
        show: bool = False,
        wait_time: float = 0,
        out_dir: str | os.PathLike | None = None,
    ) -> list[np.ndarray] | None:
        """Draw predictions.

        Args:
            inputs (list[str | dict]): The queries.
            preds (list[dict]): Their predictions.
            show (bool): Whether to open windows. Defaults to False.
            wait_time (float): Seconds a window stays. Defaults to 0, until a
                key is pressed.
            out_dir (str | PathLike, optional): Folder for PNGs.

        Returns:
            list[ndarray] | None: RGB images, if any were asked for.
        """
        if not show and out_dir is None:
            return None
        return draw_predictions(
            self.visualizer, preds, out_dir, show, wait_time
        )

    def postprocess(
        self,
        preds: list[dict],
        visualization: list[np.ndarray] | None,
        return_datasamples: bool = False,
    ) -> dict[str, Any]:
        """Pack the results.

        Args:
            preds (list[dict]): Predictions.
            visualization (list[ndarray] | None): Images.
            return_datasamples (bool): Not used.

        Returns:
            dict: ``predictions`` and ``visualization``.
        """
        return dict(predictions=preds, visualization=visualization)

    def _inputs_to_list(self, inputs: Query | Sequence[Query]) -> list[Query]:
        return list_queries(inputs, hasattr(self.model, 'extract_query_feat'))

    def _init_model(
        self, cfg: Config, weights: str | None, device: str
    ) -> nn.Module:
        if not cfg:
            path: Any = weights  # given where there is no config
            cfg.update(config_in_checkpoint(path)._cfg_dict)
        model = build_source(cfg, weights, device, self._allow_partial)
        model.cfg = cfg
        return model

    def _init_pipeline(self, cfg: Config) -> Callable:
        self._transforms = find_pipeline(as_config(cfg))
        pipeline = build_pipeline(self._transforms)

        def prepare(query: Query) -> dict:
            return pipeline(sample_of(query))

        self._pipeline = pipeline
        return prepare

    def _init_collate(self, cfg: Config) -> Callable:
        return collate_of(cfg, self.model)

    def _init_visualizer(self, cfg: Config) -> RetrievalVisualizer:
        return RetrievalVisualizer(f'person_retrieval_inferencer_{id(self)}')

    def _index(
        self,
        paths: list[str],
        cache: str | os.PathLike | None,
        batch_size: int,
        num_workers: int,
    ) -> GalleryIndex:
        """Read the gallery's embeddings from the cache, or make them."""

        def embed() -> GalleryIndex:
            return embed_gallery(
                paths,
                self._pipeline,
                self.collate_fn,
                self.model,
                batch_size,
                num_workers,
            )

        if cache is None:
            return embed()
        owner = dict(
            model=scorer_fingerprint(
                self.model, as_config(self.cfg), self._transforms
            ),
            gallery=files_fingerprint(paths),
        )
        return cached_index(cache, owner, embed)

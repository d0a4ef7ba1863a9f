"""ITCPR, the test set of composed person retrieval."""

import os
from collections import Counter
from collections.abc import Iterable

from mmtpr.registry import DATASETS
from mmtpr.structures.image_paths import image_paths
from mmtpr.structures.negatives import NEGATIVE_WEIGHT
from mmtpr.text.negative_text import check_negative

from .annotations.composed_records import COMPOSED_GUIDE
from .composed_base import ComposedDataset

_KEYS = dict(file_path=str, instance_id=int)


@DATASETS.register_module()
class ITCPR(ComposedDataset):
    """ITCPR (arXiv 2311.16515): a reference image and a sentence.

    Two json files, in the data root or in ``datasets`` below it:

    .. code-block:: none

        query.json    [{"file_path": "Celeb-reID/001/1_1_0.jpg",
                        "datasets": "Celeb-reID", "person_id": 1,
                        "instance_id": 1, "caption": "Wearing ..."}, ...]
        gallery.json  the same keys less the caption

    Samples are the queries, ``dict(role='query', img_path, caption,
    instance_id, pid, image_id)`` with the reference image as ``img_path``,
    then the gallery, ``dict(role='gallery', img_path, instance_id, pid,
    image_id)``. What matches is decided by ``instance_id``; -1 marks
    distractors and matches nothing. ``pid`` (``person_id``) is unique only
    within each of the source sets. Reference images stay in the gallery
    (see ``exclude_same_image`` of :class:`PersonRetrievalMetric`), and an
    image listed twice is two gallery items. TG-CPR has the same files.

    A query may have several reference images, a list as ``file_path``, and
    ``negative_text``, what is not wanted (see
    :mod:`mmtpr.structures.query_parts`); its ``image_id`` is that of the first
    image.

    ``load_report`` counts repeated gallery paths, queries without target
    and what was left out.

    Args:
        data_root (str): Folder of the annotation files. Defaults to ''.
        query_file (str): Defaults to ``'query.json'``.
        gallery_file (str): Defaults to ``'gallery.json'``.
        data_prefix (dict, optional): Image folder, relative to
            ``data_root``. Defaults to the data root.
        broken_images (str): ``'skip'`` decodes every image while loading,
            and drops and counts queries and gallery items without one;
            ``'error'`` leaves it to the pipeline to name the first one met.
            Defaults to ``'error'``.
        empty_captions (str): ``'error'`` or ``'skip'`` and count. Defaults
            to ``'error'``.
        missing_targets (str): For queries whose ``instance_id`` no gallery
            item has: ``'error'`` or ``'skip'`` and count. Defaults to
            ``'error'``.
        missing_images (str, optional): ``'error'`` or ``'skip'`` looks while
            loading whether every image exists, without opening any, and
            stops or drops and counts queries and gallery items. Defaults to
            None.
        negative_weight (float): Weight of the ``negative_text`` of queries
            that tell no ``negative_weight`` of their own. Defaults to 0.5.
        **kwargs: Further arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If an annotation file is absent.
        ValueError: Naming file, record and key of malformed annotations.
    """

    METAINFO = dict(dataset_name='ITCPR')

    def __init__(
        self,
        data_root: str = '',
        query_file: str = 'query.json',
        gallery_file: str = 'gallery.json',
        data_prefix: dict | None = None,
        broken_images: str = 'error',
        empty_captions: str = 'error',
        missing_targets: str = 'error',
        missing_images: str | None = None,
        negative_weight: float = NEGATIVE_WEIGHT,
        **kwargs,
    ) -> None:
        check_negative('a', negative_weight, type(self).__name__)
        self.negative_weight = negative_weight
        self.query_file, self.gallery_file = query_file, gallery_file
        kwargs.setdefault('test_mode', True)
        super().__init__(
            choices=dict(
                broken_images=broken_images,
                empty_captions=empty_captions,
                missing_targets=missing_targets,
            ),
            data_root=data_root,
            data_prefix=data_prefix,
            missing_images=missing_images,
            **kwargs,
        )

    def load_records(self) -> tuple[list[dict], list[dict]]:
        """Read both files, less queries without sentence.

        Returns:
            tuple[list[dict], list[dict]]: Queries and gallery, as they are
            in the files. Repeated gallery paths are counted.
        """
        queries, gallery = (
            self.read_checked(
                self.find_file(getattr(self, f'{role}_file')),
                _KEYS,
                captions,
                f'{role} file',
                f'{role}_file (in data_root, or in datasets/ below it)',
                several,
            )
            for role, captions, several in (
                ('query', ('caption',), ('file_path',)),
                ('gallery', (), ()),
            )
        )
        self._count_repeated(gallery)
        return queries, gallery

    def load_samples(self) -> Iterable[dict]:
        """Read queries and gallery.

        Returns:
            Iterable[dict]: The queries, then the gallery.
        """
        queries, gallery = self.load_records()
        queries = self.drop_broken(queries, ['file_path'])
        gallery = self.drop_broken(gallery, ['file_path'])
        queries = self._drop_without_target(queries, gallery)
        self.check_some_left(queries, 'query', self.find_file(self.query_file))
        self._metainfo.update(
            num_queries=len(queries),
            num_gallery=len(gallery),
            num_distractors=sum(r['instance_id'] == -1 for r in gallery),
        )
        paths = dict.fromkeys(
            path
            for record in (*queries, *gallery)
            for path in image_paths(record['file_path'])
        )
        numbers = {path: number for number, path in enumerate(paths)}
        return (
            self._sample(record, role, numbers)
            for role, records in (('query', queries), ('gallery', gallery))
            for record in records
        )

    def find_file(self, name: str) -> str:
        """Path of an annotation file, in the root or in ``datasets``.

        Args:
            name (str): Name of the file.

        Returns:
            str: Where it is, or in the root where it is in neither.
        """
        for folder in ('', 'datasets'):
            path = os.path.join(self.data_root or '', folder, name)
            if os.path.isfile(path):
                return path
        return os.path.join(self.data_root or '', name)

    def _sample(self, record: dict, role: str, numbers: dict) -> dict:
        path = record['file_path']
        sample = dict(
            role=role,
            img_path=path,
            instance_id=record['instance_id'],
            pid=record.get('person_id', -1),
            image_id=numbers[image_paths(path)[0]],
        )
        if role == 'query':
            sample['caption'] = record['caption']
            if record.get('negative_text') is not None:
                weight = record.get('negative_weight')
                sample['negative_text'] = record['negative_text']
                sample['negative_weight'] = (
                    self.negative_weight if weight is None else weight
                )
        return sample

    def _count_repeated(self, gallery: list[dict]) -> None:
        counts = Counter(record['file_path'] for record in gallery)
        repeated = [path for path, count in counts.items() if count > 1]
        self.report(
            'repeated_paths',
            repeated,
            'gallery paths stand twice, all kept',
            '',
        )

    def _drop_without_target(
        self, queries: list[dict], gallery: list[dict]
    ) -> list[dict]:
        lost = without_target(queries, gallery)
        if lost and self.choices['missing_targets'] == 'error':
            where = self.find_file(self.query_file)
            raise ValueError(
                f'{len(lost)} queries of "{where}" have an instance_id that '
                'no gallery record has, first '
                f'{lost[0]["instance_id"]} ("{lost[0]["file_path"]}"). '
                'Correct the files, or set missing_targets="skip". See '
                f'{COMPOSED_GUIDE}.'
            )
        self.report(
            'missing_targets',
            [query['instance_id'] for query in lost],
            'queries without target',
        )
        gone = {id(query) for query in lost}
        return [query for query in queries if id(query) not in gone]


def without_target(queries: list[dict], gallery: list[dict]) -> list[dict]:
    """Find queries that nothing in the gallery answers.

    Args:
        queries (list[dict]): Records with ``instance_id``.
        gallery (list[dict]): Likewise; -1 answers nothing.

    Returns:
        list[dict]: The queries.
    """
    found = {record['instance_id'] for record in gallery} - {-1}
    return [query for query in queries if query['instance_id'] not in found]

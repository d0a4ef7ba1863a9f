"""Samples made from the records of a split."""

from collections.abc import Iterable, Iterator

from .records import PersonRecord


def training_pairs(
    records: Iterable[PersonRecord], image_ids: dict[str, int]
) -> Iterator[dict]:
    """Make one sample of each image and caption.

    Args:
        records (Iterable[PersonRecord]): Records of the split.
        image_ids (dict[str, int]): Number of each image.

    Yields:
        dict: Samples with the role ``'train'``.
    """
    for record in records:
        for caption in record.captions:
            sample = dict(
                role='train',
                img_path=record.path,
                caption=caption,
                pid=record.pid,
                image_id=image_ids[record.path],
            )
            yield _with_attributes(sample, record)


def queries_and_gallery(
    records: Iterable[PersonRecord], image_ids: dict[str, int]
) -> list[dict]:
    """Make a query of each caption and a gallery item of each image.

    Args:
        records (Iterable[PersonRecord]): Records of the split.
        image_ids (dict[str, int]): Number of each image.

    Returns:
        list[dict]: The queries, then the gallery without repetitions.
    """
    queries: list[dict] = []
    gallery: dict[tuple, dict] = {}
    for record in records:
        facts = dict(pid=record.pid, image_id=image_ids[record.path])
        queries.extend(
            dict(role='query', caption=caption, **facts)
            for caption in record.captions
        )
        item = dict(role='gallery', img_path=record.path, **facts)
        key = (record.pid, record.path)
        gallery.setdefault(key, _with_attributes(item, record))
    return [*queries, *gallery.values()]


def _with_attributes(sample: dict, record: PersonRecord) -> dict:
    if record.attributes:
        sample['attributes'] = record.attributes
    return sample

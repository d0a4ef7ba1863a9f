"""A scoring run from the description of its parts to the score file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank
from mmengine.logging import print_log

from mmtpr.structures.pairs import Pairs, dataset_name
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.fingerprint import text_fingerprint

from .scorer import RelevanceScorer
from .scores import VERSION, RelevanceScores, load_scores, save_scores
from .scoring import score_pairs
from .shards import ShardStore


def describe_run(
    pairs: Pairs, bank: Sequence[str], scorer: dict, bank_source: dict
) -> dict[str, Any]:
    """Describe a scoring run, as it goes into the score file.

    Args:
        pairs (Pairs): What is scored.
        bank (Sequence[str]): The bank.
        scorer (dict): ``fingerprint``, ``precision`` and whatever else tells
            the model.
        bank_source (dict): ``source``, ``seed``.

    Returns:
        dict: Plain values.
    """
    return dict(
        version=VERSION,
        data=dict(
            fingerprint=pairs.fingerprint,
            serialized=pairs.serialized,
            name=dataset_name(pairs.dataset),
            length=len(pairs),
        ),
        scorer=scorer,
        bank=dict(
            bank_source, fingerprint=text_fingerprint(bank), size=len(bank)
        ),
    )


def identity(meta: dict) -> dict[str, Any]:
    """Take the part of a description that decides the scores.

    Args:
        meta (dict): Description of a run.

    Returns:
        dict: Fingerprints of data, scorer and bank, and the precision.
    """
    return dict(
        data=meta['data']['fingerprint'],
        scorer=meta['scorer'].get('fingerprint'),
        precision=meta['scorer'].get('precision'),
        bank=meta['bank']['fingerprint'],
    )


def run_scoring(
    scorer: RelevanceScorer,
    pairs: Pairs,
    bank: Sequence[str],
    meta: dict,
    out: str | os.PathLike,
    shard_size: int = 8192,
    overwrite: bool = False,
) -> RelevanceScores | None:
    """Score all pairs and write the score file.

    Finished shards wait in ``OUT.shards/``, which is removed at the end. An
    interrupted run is continued by the same call. A complete file of the same
    run is left as it is.

    Args:
        scorer (RelevanceScorer): The model.
        pairs (Pairs): What to score.
        bank (Sequence[str]): The bank.
        meta (dict): Output of :func:`describe_run`.
        out (str | PathLike): Score file to write.
        shard_size (int): Pairs a shard. Defaults to 8192.
        overwrite (bool): Whether to replace a score file of another run.
            Defaults to False.

    Returns:
        RelevanceScores | None: The scores in the first process, else None.

    Raises:
        LaunchError: If ``out`` exists and is something else, or the processes
            do not see the same data and model.
    """
    _check_same_everywhere(meta)
    # Asked once: another process may write the file meanwhile.
    box = [_finished(out, meta, overwrite) if get_rank() == 0 else None]
    broadcast_object_list(box)
    if box[0]:
        return load_scores(out) if get_rank() == 0 else None
    store = ShardStore(f'{out}.shards', identity(meta), len(pairs), shard_size)
    result = score_pairs(scorer, pairs, bank, store)
    if result is None:
        return None
    scores = RelevanceScores(*result, meta)
    save_scores(out, scores)
    store.remove()
    print_log(
        f'Wrote the relevance of {len(scores)} pairs to "{out}"; the images '
        f'of {scores.unreadable} could not be read.',
        logger='current',
    )
    return scores


def _finished(out: str | os.PathLike, meta: dict, overwrite: bool) -> bool:
    """Check whether the file is there, complete and of this run."""
    if not Path(out).exists():
        return False
    try:
        found = identity(load_scores(out).meta)
    except (ValueError, OSError) as error:
        raise LaunchError(
            f'"{out}" exists and is not a score file; it is not overwritten. '
            f'Choose another --out. ({error})'
        ) from error
    wanted = identity(meta)
    other = [key for key in wanted if found[key] != wanted[key]]
    if not other:
        print_log(
            f'"{out}" holds these scores already.',
            logger='current',
        )
        return True
    if overwrite:
        return False
    raise LaunchError(
        f'"{out}" exists and holds scores of another {" and ".join(other)}. '
        'Choose another --out, or pass --overwrite to replace it.'
    )


def _check_same_everywhere(meta: dict) -> None:
    mine = identity(meta)
    box = [mine]
    broadcast_object_list(box)
    other = [key for key in mine if box[0][key] != mine[key]]
    if other:
        raise LaunchError(
            f'Process {get_rank()} has another {" and ".join(other)} than '
            'process 0. All processes must read the same files.'
        )

"""Files of relevance scores, each with the rule that applies to it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmtpr.filtering.rules import check_rules
from mmtpr.filtering.scores import RelevanceScores

Source = str | os.PathLike | RelevanceScores
_RULES = ('max_rank', 'keep_ratio', 'min_score')


@dataclass
class ScoreFile:
    """A score file with its rule; its text names it in messages."""

    source: Source
    rules: dict[str, Any]

    @property
    def rule(self) -> str:
        """The rules that are set, as in a config."""
        rules = {k: v for k, v in self.rules.items() if v is not None}
        return ', '.join(f'{key}={value}' for key, value in rules.items())

    def __str__(self) -> str:
        if isinstance(self.source, RelevanceScores):
            return 'given'
        return f'"{os.fspath(self.source)}"'


def score_files(
    scores: Any, common: dict[str, Any], owner: str = 'ScoreSelector'
) -> list[ScoreFile]:
    """Take what a config gives as score files, before anything is read.

    Args:
        scores (Any): A source, or a list of sources and of dicts with
            ``scores`` and rules.
        common (dict): Rules of those without rules of their own.
        owner (str): Who is named in messages.

    Returns:
        list[ScoreFile]: The files with their rules.

    Raises:
        TypeError: If something is no source of scores.
        ValueError: If there is no rule, one of no sense, or no file.
    """
    if not isinstance(scores, list | tuple):
        scores = [scores]
    if not scores:
        raise ValueError(f'{owner} got an empty list scores.')
    files = []
    for item in scores:
        rules = {}
        if isinstance(item, Mapping):
            if other := sorted({*map(str, item)} - {'scores', *_RULES}):
                raise ValueError(
                    f'A score file of a list takes scores and the rules '
                    f'{", ".join(_RULES)}, got {", ".join(other)}.'
                )
            rules = {name: item.get(name) for name in _RULES}
            item = item.get('scores')
        if not isinstance(item, Source):
            raise TypeError(
                f'{owner} needs the path of a score file, '
                f'got scores={item!r}. Write one with '
                'tools/filtering/score_relevance.py, see '
                'docs/user_guides/filtering.md.'
            )
        has_own = any(value is not None for value in rules.values())
        rules = rules if has_own else common
        check_rules(**rules)
        files.append(ScoreFile(item, rules))
    given = any(value is not None for value in common.values())
    if given and all(file.rules is not common for file in files):
        raise ValueError(
            'Every score file of the list has a rule of its own, so that '
            'the rules beside the list would do nothing; leave them out.'
        )
    return files

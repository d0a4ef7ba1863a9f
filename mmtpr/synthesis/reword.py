"""Other words for a sentence about a person, by the grammar of captions."""

import re
import zlib

import numpy as np

from .captions import WORDS

#: Verbs that say the same.
_VERBS = (
    ('wearing', 'dressed in'),
    ('wears', 'is wearing', 'has on', 'is dressed in'),
    ('carrying', 'holding'),
)
#: Words for colours of hair mean others elsewhere.
_OF_HAIR = {'blond', 'brown hair', 'black hair', 'grey hair', 'red hair'}


def _groups() -> list[tuple[list[str], bool]]:
    """Words of the same meaning, and whether "hair" has to follow them."""
    found = [(list(words), False) for words in _VERBS]
    for name, words in WORDS.items():
        words = list(dict.fromkeys(words))
        if len(words) > 1:
            found.append((words, name in _OF_HAIR))
    return found


def _table() -> dict[str, tuple[list[str], bool]]:
    """The group of each word; hair first, as its words are others' too."""
    table: dict[str, tuple[list[str], bool]] = {}
    for words, hair in sorted(_groups(), key=lambda group: not group[1]):
        for word in words:
            table.setdefault(f'{word} hair' if hair else word, (words, hair))
    return table


_TABLE = _table()
# The longest first: "short sleeved top" is not "top".
_PATTERN = re.compile(
    r'\b('
    + '|'.join(sorted(map(re.escape, _TABLE), key=len, reverse=True))
    # Words in two parts are not words of their own.
    + r')(?![\w-])',
    re.IGNORECASE,
)


def reword(sentence: str, number: int = 5, seed: int = 0) -> list[str]:
    """Say a sentence about a person in other words.

    Words are exchanged for those that the captions of the synthetic world use
    for the same; the order stays. A paraphrase maker for
    :class:`mmtpr.apis.GallerySearcher` that needs no model.

    Args:
        sentence (str): The sentence.
        number (int): Paraphrases to make. Defaults to 5.
        seed (int): Of the choice; the same sentence and seed give the same.
            Defaults to 0.

    Returns:
        list[str]: At most ``number`` sentences, all different and none the
        given one; fewer where the words allow no more.

    Examples:
        >>> reword('A man in a purple coat.', number=2)
        ['A guy in a purple coat.', 'A guy in a violet coat.']
    """
    rng = np.random.default_rng([seed, zlib.crc32(sentence.encode())])

    def another(match: re.Match) -> str:
        words, hair = _TABLE[match[1].lower()]
        word = words[int(rng.integers(len(words)))]
        word = f'{word} hair' if hair else word
        upper = match[1][0].isupper()
        return word[0].upper() + word[1:] if upper else word

    found: list[str] = []
    for _ in range(10 * number):
        if len(found) == number:
            break
        text = _with_articles(_PATTERN.sub(another, sentence))
        if text != sentence and text not in found:
            found.append(text)
    return found


def _with_articles(text: str) -> str:
    def article(match: re.Match) -> str:
        start = 'A' if match[1][0] == 'A' else 'a'
        vowel = match[2].lower() in 'aeiou'
        return f'{start}{"n" if vowel else ""} {match[2]}'

    return re.sub(r'\b([Aa]n?) (\w)', article, text)

"""A quadruple: two captions of one person and the sentences between them."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..chat_answer import whole_text


@dataclass(frozen=True)
class Quadruple:
    """What a writer writes.

    Attributes:
        reference_caption (str): The person in the reference image, A.
        target_caption (str): The same person in the target image, B.
        edit (str): The sentence that turns A into B.
        reverse_edit (str): The one that turns B into A.
    """

    reference_caption: str
    target_caption: str
    edit: str
    reverse_edit: str

    def to_dict(self) -> dict[str, str]:
        """Write the texts.

        Returns:
            dict[str, str]: By name.
        """
        return asdict(self)


#: JSON schema of an answer, for servers that hold a model to it.
SCHEMA: dict[str, Any] = dict(
    type='object',
    properties={
        one.name: dict(type='string', minLength=1) for one in fields(Quadruple)
    },
    required=[one.name for one in fields(Quadruple)],
    additionalProperties=False,
)


def parse_quadruple(raw: str) -> Quadruple | None:
    """Read an answer.

    Args:
        raw (str): JSON, as it is or in a fenced block of Markdown.

    Returns:
        Quadruple | None: None if it is no JSON of this schema.
    """
    text = raw.strip()
    if text.startswith('```'):
        text = text.strip('`').removeprefix('json').strip()
    try:
        values = json.loads(text)
    except (RecursionError, ValueError):  # the first: brackets in brackets
        return None
    names = [one.name for one in fields(Quadruple)]
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        return None
    texts = [values[name] for name in names]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        return None
    return Quadruple(*(' '.join(whole_text(t).split()) for t in texts))

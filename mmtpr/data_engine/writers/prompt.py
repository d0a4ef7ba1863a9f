"""The prompt that asks a language model for a quadruple.

The prompts of the published pipeline are not known; this one is ours.
"""

from collections.abc import Mapping

#: Goes into every record; a changed prompt gets another number.
PROMPT_VERSION = 'quadruple-1'

_SYSTEM = """\
You write training data for person retrieval. Answer with one JSON object with
exactly these keys: "reference_caption", "target_caption", "edit",
"reverse_edit".

- "reference_caption" and "target_caption" describe the same person in two
  photos: what can be seen of age, gender, build, hair, clothes, shoes and what
  is carried. One sentence each, 10 to 25 words, in plain English.
- The two captions differ in what is asked for, and in nothing else.
- "edit" tells how to come from the first photo to the second: only what
  differs, as a short phrase of 3 to 15 words, such as "Wearing a light gray
  skirt, carrying a large black leather handbag."
- "reverse_edit" tells the way back likewise.
- Name no real person, no brand, no place that exists. Nothing is said of
  faces, feelings, religion or health."""


def build_messages(
    metadata: Mapping[str, str], complaint: str = ''
) -> list[dict[str, str]]:
    """Write the messages for a record.

    Args:
        metadata (Mapping[str, str]): What the record is about; ``change``
            says what differs.
        complaint (str): What was wrong with the answer before. Defaults to
            '', the first attempt.

    Returns:
        list[dict[str, str]]: Messages with ``role`` and ``content``.
    """
    facts = [
        f'- {name.replace("_", " ")}: {value}'
        for name, value in metadata.items()
        if name != 'change'
    ]
    change = metadata.get('change', 'one or two items of clothing')
    text = '\n'.join(
        ['Write one object about this:', *facts, f'What changes: {change}.']
    )
    if complaint:
        text += (
            f'\nAn answer before was of no use: {complaint}. Write another.'
        )
    return [
        dict(role='system', content=_SYSTEM),
        dict(role='user', content=text),
    ]

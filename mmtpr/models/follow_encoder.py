"""Tokenizers of a config that follow its encoder."""

from typing import Any

from mmengine.logging import print_log

from mmtpr.text.config_tokenizers import probe_ids, tokenizer_nodes
from mmtpr.utils.errors import LaunchError

#: Classes that take the ``tokenizer`` of the encoder unless it is set.
_KINDS = ('TokenizeCaption', 'PseudoWordQuery')
_LENGTH = 77  # so that none is cut
_CLIP = 'ViT-B-16'  # whose vocabulary all models without another share


def follow_encoder(cfg: Any) -> None:
    """Let tokenizers be those of the encoder unless they are set.

    Args:
        cfg (Config): A whole config, changed in place.

    Raises:
        LaunchError: If a tokenizer that is set, or a number of tokens, is not
            that of the encoder.
    """
    encoder = _find_encoder(cfg.get('model'))
    if encoder is None:
        return
    # Takes a second, and other encoders do without.
    from mmtpr.models.encoders.open_clip.companions import find_companions

    try:
        own = find_companions(
            encoder['model'],
            encoder.get('pretrained'),
            encoder.get('context_length'),
        )
    except (ValueError, FileNotFoundError):
        return  # building the model tells it better
    told = False
    for node in tokenizer_nodes(cfg, _KINDS):
        if own.tokenizer is not None:
            told |= _settle_tokenizer(node, own.tokenizer, encoder['model'])
        if own.context_length and 'TokenizeCaption' in str(node['type']):
            _settle_length(node, own.context_length, encoder['model'])
    if told:
        print_log(
            f'Captions are tokenized as "{encoder["model"]}" reads them.',
            logger='current',
        )


def _find_encoder(node: Any) -> Any:
    """Config of the first encoder of open_clip in that of a model."""
    found = tokenizer_nodes(node, ('OpenCLIPEncoder',))
    return next((cfg for cfg in found if cfg.get('model')), None)


def _settle_tokenizer(node: Any, own: Any, model: Any) -> bool:
    """Set a tokenizer, or compare it; tell whether it is set to another."""
    given = node.get('tokenizer')
    if given is None:
        node['tokenizer'] = own
        return _differ(own, _CLIP)
    if given != own and _differ(given, own):
        raise LaunchError(
            f'{node["type"]} has tokenizer={given!r}, but the encoder is of '
            f'model "{model}", which reads the tokens of {own!r}. Take '
            'tokenizer out of the config: it follows the encoder.'
        )
    return False


def _settle_length(node: Any, own: int, model: Any) -> None:
    given = node.get('context_length')
    if given is None:
        node['context_length'] = own
    elif given != own:
        raise LaunchError(
            f'{node["type"]} gives context_length={given} tokens, but the '
            f'encoder of model "{model}" takes {own}. Take context_length out '
            f'of the config, or set model.encoder.context_length={given}.'
        )


def _differ(one: Any, other: Any) -> bool:
    """Tell whether two tokenizers cut captions unlike.

    Those of the hub are told by their names: nothing is downloaded for this.
    """
    names = _hub_name(one), _hub_name(other)
    if any(names):
        return names[0] != names[1]
    try:
        return probe_ids(one, _LENGTH) != probe_ids(other, _LENGTH)
    except (ImportError, OSError, ValueError):
        return one != other


def _hub_name(tokenizer: Any) -> str | None:
    """Name on the hub, None for what is tokenized with a file that is here."""
    import open_clip  # takes a second

    if not isinstance(tokenizer, str):
        return tokenizer.get('hf')
    if ':' in tokenizer:
        return tokenizer
    text = (open_clip.get_model_config(tokenizer) or {}).get('text_cfg', {})
    return text.get('hf_tokenizer_name')

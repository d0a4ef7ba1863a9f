"""Retrievers that are saved to a folder or the hub, and loaded from there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCardData, ModelHubMixin, snapshot_download
from mmengine.config import Config
from safetensors.torch import save_file
from torch import nn

from mmtpr.gallery.identity import ModelIdentity
from mmtpr.gallery.manifest import file_checksum
from mmtpr.models.build import build_model
from mmtpr.models.follow_encoder import follow_encoder
from mmtpr.utils import atomic_folder
from mmtpr.utils.atomic import allow_as_usual
from mmtpr.utils.config_file import read_config
from mmtpr.utils.config_parts import find_pipeline
from mmtpr.utils.errors import LaunchError
from mmtpr.version import __version__

from .portable_config import plain_data, portable_config, write_tokenizers
from .pretrained_files import (
    CONFIG,
    KIND,
    VERSION,
    WEIGHTS,
    SavedParts,
    adapter_parts,
    build_pretrained,
    merged_parts,
    read_pretrained,
)

_CARD = 'README.md'
#: All that is downloaded: nothing in it is executed.
_FILES = (CONFIG, WEIGHTS, 'tokenizer*.json', _CARD)


class PretrainedRetriever(ModelHubMixin, library_name='mmtpr'):
    """A retriever with all that is needed to use it elsewhere.

    A folder of it holds the config as plain data (``config.json``), weights
    (``model.safetensors``), tokenizers (``tokenizer.json``) and a card with
    the numbers that were measured (``README.md``). Nothing of a folder is
    executed when it is loaded: see ``docs/user_guides/export.md``.

    Args:
        model (nn.Module): The retriever, in evaluation mode.
        cfg (Config): Its whole config.
        measured (Mapping[str, float], optional): Numbers for the card by
            their names, which say what they were measured on. Defaults to
            None.
        merged (bool): Whether adapters are merged where it is saved; else
            only what trained is, with the names of the weights below.
            Defaults to True.

    Examples:
        >>> found = PretrainedRetriever.of('configs/wora_cuhk.py', 'best.pth')
        >>> found.save_pretrained('wora_cuhk')
        >>> again = PretrainedRetriever.from_pretrained('wora_cuhk')
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: Config,
        measured: Mapping[str, float] | None = None,
        merged: bool = True,
    ) -> None:
        self.model = model
        self.cfg = cfg
        self.measured = dict(measured or {})
        self.merged = merged

    @classmethod
    def of(
        cls,
        config: str | Config,
        checkpoint: str | None,
        measured: Mapping[str, float] | None = None,
        merged: bool = True,
        device: str | torch.device = 'cpu',
    ) -> 'PretrainedRetriever':
        """Load a retriever of a config and a checkpoint.

        Args:
            config (str | Config): Config or its path.
            checkpoint (str | None): The weights; None for what the model
                loads by itself.
            measured (Mapping[str, float], optional): See the class.
            merged (bool): See the class.
            device (str | device): Defaults to ``'cpu'``.

        Returns:
            PretrainedRetriever: The retriever.

        Raises:
            LaunchError: If config and checkpoint do not fit.
        """
        cfg = config if isinstance(config, Config) else read_config(config)
        follow_encoder(cfg)
        model = build_model(cfg, checkpoint, device)
        return cls(model, cfg, measured, merged)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> str | None:
        """Write the folder, whole or not at all.

        Args:
            save_directory (str | Path): The folder; one with files is left as
                it is.
            repo_id (str, optional): Name on the hub. Defaults to None, that of
                the folder.
            push_to_hub (bool): Whether to upload it too. Defaults to False.
            **kwargs: Arguments of :meth:`push_to_hub`; without it those of
                ``ModelHubMixin.save_pretrained``.

        Returns:
            str | None: Address of the commit, if it was uploaded.

        Raises:
            FileExistsError: If the folder is there and not empty.
            LaunchError: If the config has no form as plain data, or merging
                changes the features.
        """
        with atomic_folder(save_directory) as place:
            self._save_pretrained(place)
        if push_to_hub:
            name = repo_id or Path(save_directory).name
            return self.push_to_hub(name, **kwargs)
        return None

    def _save_pretrained(self, save_directory: Path) -> None:
        take = merged_parts if self.merged else adapter_parts
        parts = take(self.model, self.cfg.model)
        file = save_directory / WEIGHTS
        save_file(parts.state, file, metadata=dict(format='pt'))
        allow_as_usual(file)  # others of the machine load it too
        whole = dict(portable_config(self.cfg), model=parts.cfg)
        content = dict(
            kind=KIND,
            version=VERSION,
            mmtpr=__version__,
            identity=self._identity().to_dict(),
            base=parts.base,
            config=write_tokenizers(whole, save_directory),
            facts=plain_data(parts.facts, 'facts'),
            weights=file_checksum(file),
            measured=self.measured,
        )
        text = json.dumps(content, indent=2)
        (save_directory / CONFIG).write_text(text, encoding='utf-8')
        card = self._card(parts)
        (save_directory / _CARD).write_text(card, encoding='utf-8')

    def _identity(self) -> ModelIdentity:
        known = getattr(self.model, 'identity', None)
        if isinstance(known, ModelIdentity):
            return known
        pipeline = find_pipeline(self.cfg)
        return ModelIdentity.of(self.model, self.cfg.model, pipeline)

    def _card(self, parts: SavedParts) -> str:
        head = ModelCardData(
            library_name='mmtpr',
            tags=['person-retrieval', 'text-image-retrieval'],
            base_model=[name for name in parts.base if '/' in name] or None,
        ).to_yaml()
        rows = [f'| {k} | {v:g} |' for k, v in self.measured.items()]
        numbers = '\n'.join(
            ['| measured | value |', '| --- | --- |', *rows]
            if rows
            else ['No numbers were given when this folder was written.']
        )
        weights = (
            f'Adapters and whatever else trained, on {", ".join(parts.base)}.'
            if parts.base
            else 'All weights; adapters, if there were any, are merged.'
        )
        return _TEXT.format(
            head=head,
            kind=type(self.model).__name__,
            weights=weights,
            number=sum(value.numel() for value in parts.state.values()),
            numbers=numbers,
            version=__version__,
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> 'PretrainedRetriever':
        """Load a folder, or a model of the hub.

        Args:
            pretrained_model_name_or_path (str | Path): A folder, or a name on
                the hub.
            force_download (bool): See ``ModelHubMixin.from_pretrained``.
            token (str | bool, optional): Likewise.
            cache_dir (str | Path, optional): Likewise.
            local_files_only (bool): Likewise.
            revision (str, optional): Likewise.
            **model_kwargs: ``device``.

        Returns:
            PretrainedRetriever: The retriever.

        Raises:
            LaunchError: If it cannot be downloaded, its config names what is
                no part of mmtpr, or keys are missing, unexpected or
                mismatched.
        """
        # Not by the mixin's own, which hands entries of config.json on as
        # arguments.
        return cls._from_pretrained(
            model_id=str(pretrained_model_name_or_path),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            **model_kwargs,
        )

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, device: str = 'cpu', **options: Any
    ) -> 'PretrainedRetriever':
        folder = Path(model_id)
        if not folder.is_dir():
            folder = _downloaded(model_id, options)
        cfg = read_pretrained(folder)
        data = json.loads((folder / CONFIG).read_text('utf-8'))
        model = build_pretrained(cfg, device)
        return cls(model, cfg, data['measured'], merged=not data['base'])


def _downloaded(name: str, options: Mapping[str, Any]) -> Path:
    try:
        return Path(
            snapshot_download(name, allow_patterns=[*_FILES], **options)
        )
    except Exception as error:  # the hub has a class for each cause
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise LaunchError(
            f'"{name}" is neither a folder nor in the cache of the hub, and '
            f'cannot be downloaded ({reason[0].rstrip(".")}). Give the folder '
            'of a saved model, or run once with network access.'
        ) from error


_TEXT = """---
{head}
---

# {kind} of mmtpr

Finds images of persons by a query. {weights} {number:,} numbers.

```python
from mmtpr.apis import PersonRetrievalInferencer

inferencer = PersonRetrievalInferencer('THIS FOLDER', gallery='photos/')
inferencer('a woman in a red coat')
```

## Measured

{numbers}

## Files

`config.json` is plain data and `model.safetensors` holds tensors: nothing in
this folder is executed when it is loaded. Written by mmtpr {version}. Look at
the terms of the data that the weights were trained with before you use them.
"""

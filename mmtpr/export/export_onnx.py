"""Export of retrievers to ONNX, with the proof that vectors are the same."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmtpr.gallery.identity import ModelIdentity
from mmtpr.models.adapters import merge_adapters, named_adapters
from mmtpr.utils import atomic_folder
from mmtpr.utils.config_parts import find_pipeline
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.lazy import require
from mmtpr.version import __version__

from .gate import (
    Compared,
    check_gate,
    compare,
    random_inputs,
    real_batches,
    reference,
)
from .onnx_folder import CARD, KIND, VERSION, file_facts
from .onnx_session import PURPOSE, OnnxSession
from .portable_config import plain_data, portable_config, write_tokenizers
from .real_inputs import RealInputs
from .tokenizer_file import EXTRA
from .towers import INPUTS, Tower, find_towers

#: What torch's exporter writes by itself.
OPSET = 18


def export_onnx(
    model: Any,
    cfg: Config,
    real: RealInputs,
    folder: str | Path,
    opset: int = OPSET,
) -> dict[str, Any]:
    """Write a retriever as ONNX, if its vectors stay the same.

    Adapters are merged. Each tower is compared with the torch model as it was
    given, on random and on real inputs: no cosine may be below
    :data:`mmtpr.export.gate.LEAST_COSINE`.

    Args:
        model (nn.Module): A retriever in evaluation mode on the CPU. Its
            adapters are merged in place and cannot be taken out afterwards.
        cfg (Config): Its whole config.
        real (RealInputs): Real images and captions.
        folder (str | Path): Folder to write, which appears whole or not at
            all. Only an empty one is replaced.
        opset (int): Version of ONNX's operators. Defaults to 18.

    Returns:
        dict: The card of the folder.

    Raises:
        FileExistsError: If the folder is there and not empty.
        ImportError: If onnx, onnxruntime or onnxscript is not installed.
        LaunchError: If a tower cannot be exported, or gives other vectors.
            Nothing is written then.
    """
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        require(name, EXTRA, PURPOSE)
    identity = ModelIdentity.of(model, cfg.model, find_pipeline(cfg))
    towers = find_towers(model)
    words = model.encoder.vocab_size
    batches = dict(
        random=random_inputs(towers, real.tensors, words),
        real=real_batches(towers, real.tensors),
    )
    wanted = {k: reference(towers, given) for k, given in batches.items()}
    facts = _model_facts(model, real)
    if any(True for _ in named_adapters(model)):
        model = merge_adapters(model, remove=True)
    with atomic_folder(folder) as place:
        measured = {}
        for name, tower in find_towers(model).items():
            file = place / f'{name}.onnx'
            _write_tower(tower, name, batches['random'][name][-1], file, opset)
            run = OnnxSession(file).run
            measured[name] = {
                kind: _proven(name, kind, run, given[name], wanted[kind][name])
                for kind, given in batches.items()
            }
        config = write_tokenizers(portable_config(cfg), place, real.captions)
        card = dict(
            kind=KIND,
            version=VERSION,
            identity=identity.to_dict(),
            config=config,
            towers=_describe(find_towers(model), measured),
            versions=_versions(opset),
            **facts,
            files=file_facts(place),
        )
        text = json.dumps(plain_data(card, CARD), indent=2)
        (place / CARD).write_text(text, encoding='utf-8')
    return card


def _model_facts(model: Any, real: RealInputs) -> dict[str, Any]:
    """What those who write programs around the towers have to know."""
    preprocessor = model.data_preprocessor
    shape = real.tensors['image'].shape
    return dict(
        model_type=type(model).__name__,
        image=dict(
            height=shape[2],
            width=shape[3],
            channels='RGB' if preprocessor.to_rgb else 'as loaded (BGR)',
            mean=preprocessor.mean.flatten().tolist(),
            std=preprocessor.std.flatten().tolist(),
            to_rgb=preprocessor.to_rgb,
            range=[0, 255],
        ),
        text=dict(
            context_length=real.tensors['tokens'].shape[1],
            vocab_size=model.encoder.vocab_size,
        ),
    )


@torch.no_grad()
def _write_tower(
    tower: Tower,
    name: str,
    inputs: tuple[Tensor, ...],
    file: Path,
    opset: int,
) -> None:
    """Export one tower; the first axis of all it reads may vary."""
    names = INPUTS[name]
    axes = {n: {0: torch.export.Dim.DYNAMIC} for n in names}
    try:
        with _exportable():
            program: Any = torch.onnx.export(
                tower.eval(),
                inputs,
                dynamo=True,
                dynamic_shapes=axes,
                input_names=list(names),
                output_names=list(tower.outputs),
                opset_version=opset,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise LaunchError(
            f'The {name} tower of {type(tower.retriever).__name__} cannot be '
            f'exported by torch {torch.__version__} with opset {opset}: '
            f'{reason}. Nothing was written.'
        ) from error
    program.save(file)


@contextmanager
def _exportable() -> Iterator[None]:
    """Choose attention that is made of plain operators, and less talk."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    logger = logging.getLogger('onnxscript')
    level = logger.level
    torch.backends.mha.set_fastpath_enabled(False)
    logger.setLevel(logging.ERROR)
    try:
        # The memory layout that fused kernels return is traced as a fact, and
        # does not hold for what they are replaced by.
        with torch.nn.attention.sdpa_kernel(
            torch.nn.attention.SDPBackend.MATH
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
        logger.setLevel(level)


def _proven(name, kind, run, given, wanted) -> Compared:
    compared = compare(run, given, wanted)
    check_gate(name, kind, compared)
    return compared


def _describe(
    towers: Mapping[str, Tower], measured: Mapping[str, Mapping[str, Compared]]
) -> dict[str, Any]:
    return {
        name: dict(
            file=f'{name}.onnx',
            inputs=list(INPUTS[name]),
            outputs=list(tower.outputs),
            least_cosine={k: c.cosine for k, c in measured[name].items()},
            greatest_difference={
                k: c.difference for k, c in measured[name].items()
            },
            compared={k: c.rows for k, c in measured[name].items()},
        )
        for name, tower in towers.items()
    }


def _versions(opset: int) -> dict[str, Any]:
    versions = {
        name: require(name, EXTRA, PURPOSE).__version__
        for name in ('onnx', 'onnxscript', 'onnxruntime')
    }
    own = dict(mmtpr=__version__, torch=str(torch.__version__))
    return {**own, **versions, 'opset': opset}

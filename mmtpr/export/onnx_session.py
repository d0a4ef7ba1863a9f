"""A file of ONNX that runs on tensors."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtpr.text.file_tokenizer import EXTRA
from mmtpr.utils.lazy import require
from mmtpr.utils.warn import warn

#: Named where onnx or onnxruntime is not installed.
PURPOSE = 'A model exported to ONNX'
_CUDA, _CPU = 'CUDAExecutionProvider', 'CPUExecutionProvider'


class OnnxSession:
    """An ONNX file, loaded by onnxruntime.

    Args:
        file (Path): The file.
        device (str): ``'cpu'`` or a CUDA device. Where this onnxruntime has
            no CUDA, a WARNING says so, and the CPU computes. Defaults to
            ``'cpu'``.

    Raises:
        ImportError: If onnxruntime is not installed.
        ValueError: If onnxruntime cannot load the file.
    """

    def __init__(self, file: Path, device: str = 'cpu') -> None:
        runtime: Any = require('onnxruntime', EXTRA, PURPOSE)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Threads that wait by spinning take the cores from torch, which ranks.
        options.add_session_config_entry(
            'session.intra_op.allow_spinning', '0'
        )
        try:
            self._session = runtime.InferenceSession(
                str(file), options, providers=_providers(runtime, device)
            )
        except Exception as error:  # the library has a class for each cause
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f'onnxruntime {runtime.__version__} cannot load "{file}": '
                f'{reason}. Update onnxruntime, or export with a lower '
                '--opset.'
            ) from error
        self._inputs = [item.name for item in self._session.get_inputs()]

    def run(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Run on a batch.

        Args:
            inputs (tuple[Tensor, ...]): Tensors of B rows, in the order of
                the file's inputs.

        Returns:
            list[Tensor]: Outputs of B rows, on the CPU.
        """
        arrays = [tensor.detach().cpu().numpy() for tensor in inputs]
        given = dict(zip(self._inputs, arrays, strict=True))
        return [torch.from_numpy(x) for x in self._session.run(None, given)]


def _providers(runtime: Any, device: str) -> list[Any]:
    if not str(device).startswith('cuda'):
        return [_CPU]
    if _CUDA not in runtime.get_available_providers():
        warn(
            'This onnxruntime has no CUDA, and the CPU computes. Install '
            'onnxruntime-gpu in its place for the GPU.'
        )
        return [_CPU]
    index = torch.device(device).index or 0
    return [(_CUDA, dict(device_id=index)), _CPU]

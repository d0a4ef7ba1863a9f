"""Export: models as ONNX, and as folders that others load."""

from .export_onnx import export_onnx
from .onnx_folder import OnnxFolder, is_onnx_folder, read_onnx_folder
from .onnx_retriever import (
    OnnxComposedRetriever,
    OnnxRetriever,
    load_onnx,
    onnx_config,
)
from .pretrained import PretrainedRetriever
from .real_inputs import RealInputs, dataset_inputs, given_inputs

__all__ = [
    'OnnxComposedRetriever',
    'OnnxFolder',
    'OnnxRetriever',
    'PretrainedRetriever',
    'RealInputs',
    'dataset_inputs',
    'export_onnx',
    'given_inputs',
    'is_onnx_folder',
    'load_onnx',
    'onnx_config',
    'read_onnx_folder',
]

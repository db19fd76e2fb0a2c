"""Layers, activations and losses, with PyTorch's names and argument orders."""

from ..tensor import Parameter
from . import init
from .activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .attention import MultiheadAttention, TransformerEncoder, TransformerEncoderLayer
from .containers import Add, Concat, Highway, ModuleDict, ParameterDict, ParameterList, Residual, Unflatten
from .conv import Conv2d
from .dense import Dense, DropConnect, Linear
from .dense_variants import Bilinear, EinsumDense, Maxout, TiedLinear
from .dropout import Dropout
from .embedding import Embedding, EmbeddingBag, PositionalEmbedding, PositionalEncoding
from .interop import load_torch_state_dict, torch_state_dict
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from .module import Flatten, Identity, Lambda, Module, ModuleList, Sequential
from .normalization import BatchNorm1d, BatchNorm2d, LayerNorm
from .pooling import AvgPool2d, MaxPool2d
from .summary import summary

__all__ = ["GELU", "Add", "AvgPool2d", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "Bilinear", "Concat",
           "Conv2d", "CrossEntropyLoss", "Dense", "DropConnect", "Dropout", "EinsumDense", "Embedding", "EmbeddingBag",
           "Flatten", "Highway", "Identity", "Lambda", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss",
           "MaxPool2d", "Maxout", "Module", "ModuleDict", "ModuleList", "MultiheadAttention", "Parameter",
           "ParameterDict", "ParameterList", "PositionalEmbedding", "PositionalEncoding", "ReLU", "Residual",
           "Sequential", "Sigmoid", "Softmax", "Tanh", "TiedLinear", "TransformerEncoder", "TransformerEncoderLayer",
           "Unflatten", "init", "load_torch_state_dict", "summary", "torch_state_dict"]

"""Layers, activations and losses, with PyTorch's names and argument orders."""

from ..tensor import Parameter
from . import init
from .activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .conv import Conv2d
from .dense import Dense, DropConnect, Linear
from .dropout import Dropout
from .interop import load_torch_state_dict, torch_state_dict
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from .module import Flatten, Identity, Lambda, Module, ModuleList, Sequential
from .normalization import BatchNorm1d, BatchNorm2d, LayerNorm
from .pooling import AvgPool2d, MaxPool2d
from .summary import summary

__all__ = ["GELU", "AvgPool2d", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "Conv2d", "CrossEntropyLoss",
           "Dense", "DropConnect", "Dropout", "Flatten", "Identity", "Lambda", "LayerNorm", "LeakyReLU", "Linear",
           "LogSoftmax", "MSELoss", "MaxPool2d", "Module", "ModuleList", "Parameter", "ReLU", "Sequential", "Sigmoid",
           "Softmax", "Tanh", "init", "load_torch_state_dict", "summary", "torch_state_dict"]

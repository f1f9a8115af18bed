"""A torch perceptron's values and gradients, in NumPy on the same memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class NumpyMlp:
    """The linear layers of ``module`` with ReLU between them, as one sees them without autograd.

    Values and gradients are views: a torch optimiser's step on the module is seen here at once,
    and finds in ``parameter.grad`` what :meth:`backward` wrote.

    :param module: on the CPU, float32; layers other than linear ones are taken for ReLU.
    :param rectify: a ReLU follows the last layer too.
    """

    def __init__(self, module: nn.Module, *, rectify: bool = False) -> None:
        self._rectify = rectify
        self._values: list[tuple[np.ndarray, np.ndarray]] = []
        self._grads: list[tuple[np.ndarray, np.ndarray]] = []
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                pair = (layer.weight, layer.bias)
                for parameter in pair:
                    parameter.grad = torch.zeros_like(parameter)
                self._values.append((pair[0].detach().numpy(), pair[1].detach().numpy()))
                self._grads.append((pair[0].grad.numpy(), pair[1].grad.numpy()))  # type: ignore[union-attr]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """:param x: float32 [B, I]. :return: float32 [B, O], and the inputs of all layers."""
        inputs: list[np.ndarray] = []
        for weight, bias in self._values:
            if inputs:
                np.maximum(x, 0, out=x)
            inputs.append(x)
            x = x @ weight.T
            x += bias
        if self._rectify:
            np.maximum(x, 0, out=x)
        return x, inputs

    def backward(self, inputs: list[np.ndarray], gradient: np.ndarray) -> None:
        """Write the gradients of the parameters.

        :param inputs: from :meth:`forward`.
        :param gradient: of the loss to the output of the last linear layer, float32 [B, O].
        """
        for k in reversed(range(len(inputs))):
            np.matmul(gradient.T, inputs[k], out=self._grads[k][0])
            np.sum(gradient, axis=0, out=self._grads[k][1])
            if k:
                gradient = self._before(k, inputs, gradient)

    def to_input(self, inputs: list[np.ndarray], gradient: np.ndarray) -> np.ndarray:
        """:return: gradient of the loss to the input, float32 [B, I]; parameters' are not written.

        :param inputs: from :meth:`forward`. :param gradient: as for :meth:`backward`.
        """
        for k in reversed(range(1, len(inputs))):
            gradient = self._before(k, inputs, gradient)
        return gradient @ self._values[0][0]

    def _before(self, k: int, inputs: list[np.ndarray], gradient: np.ndarray) -> np.ndarray:
        """Gradient at layer ``k``'s output to that at the output of the one before."""
        gradient = gradient @ self._values[k][0]
        gradient *= inputs[k] > 0
        return gradient

"""A small CNN on handwritten digits, trained by `train.fit`, and what it gets wrong.

    python examples/04_mnist_cnn.py                 MNIST where it is there or can be fetched, else 8x8 digits
    python examples/04_mnist_cnn.py digits 5        a data set and the number of epochs

Reads: minigrad/primitives.py (the convolution triple) and minigrad/train.py.
"""

import sys

import numpy as np

import minigrad as mg
from minigrad import data, metrics, models, optim, train

name = sys.argv[1] if len(sys.argv) > 1 else "auto"
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3

mg.manual_seed(0)
digits, test = data.load(name, train=True), data.load(name, train=False)
model = models.cnn(size=digits.x.shape[-1])
print(model)

optimizer = optim.Adam(model.parameters(), lr=2e-3)
train.fit(model, digits, optimizer, epochs=epochs, batch_size=64, schedule="onecycle", validation=test)

result = train.evaluate(model, test)
print(f"test accuracy {result.accuracy:.2%}")
confusion = metrics.confusion_matrix(test.y, result.predictions.argmax(axis=1), 10)
np.fill_diagonal(confusion, 0)
truth, said = np.unravel_index(confusion.argmax(), confusion.shape)
print(f"most often taken for another: {truth}, as {said} ({confusion.max()} times)")

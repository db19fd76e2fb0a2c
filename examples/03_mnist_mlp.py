"""An MLP on handwritten digits, with the training loop written out.

    python examples/03_mnist_mlp.py                 MNIST where it is there or can be fetched, else 8x8 digits
    python examples/03_mnist_mlp.py digits 10       a data set and the number of epochs

Reads: minigrad/data/loader.py and minigrad/optim/adam.py.
"""

import sys
import time

import minigrad as mg
from minigrad import data, nn, optim
from minigrad import functional as F

name = sys.argv[1] if len(sys.argv) > 1 else "auto"
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3

mg.manual_seed(0)
train, test = data.load(name, train=True), data.load(name, train=False)
pixels = train.x[0].size
model = nn.Sequential(nn.Flatten(), nn.Dense(pixels, 256), nn.ReLU(), nn.Dense(256, 128), nn.ReLU(), nn.Dense(128, 10))
optimizer = optim.Adam(model.parameters(), lr=1e-3)
batches = data.DataLoader(train, batch_size=64, shuffle=True)
print(f"{train.name}: {len(train)} to train on, {len(test)} to test; "
      f"{sum(p.size for p in model.parameters()):,} parameters")

for epoch in range(1, epochs + 1):
    start, total = time.perf_counter(), 0.0
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    with mg.no_grad():  # nothing is recorded: no graph, less memory
        correct = sum(int((model(x).argmax(axis=1) == y).sum()) for x, y in data.DataLoader(test, batch_size=1000))
    print(f"epoch {epoch}  loss {total / len(train):.4f}  test accuracy {correct / len(test):.2%}  "
          f"{time.perf_counter() - start:.1f} s")

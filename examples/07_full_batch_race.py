"""First against second order, full batch: the same digits, the same start, until 200 gradients are spent.

    python examples/07_full_batch_race.py            the table
    python examples/07_full_batch_race.py pictures   and losses against steps, gradients and seconds in that folder
                                                     (by matplotlib: the extra plot)
Without a line of code, with tuned rates and bands over seeds: minigrad compare --data digits --seeds 3

Reads: minigrad/race.py, then optim/second_order.py, the bridge to SciPy that L-BFGS and Newton's method walk over.
"""

import sys

from minigrad import optim, race
from minigrad.viz import race as pictures

digits = race.problem("digits", "mlp", samples=200, hidden=(32,))
runs = race.race(digits, ["sgd:0.5", "adam:0.02", "lbfgs", "newton-cg"], budget=200, target=0.01)
print(digits.title)
print(race.table(runs, target=0.01))
print()

# What a step costs and what it brings: Newton's method takes the fewest steps, and products with the Hessian for each.
for run in runs:
    last = run.last
    print(f"{run.label:9}  {last.iteration:3} steps = {last.evaluations:3} gradients + {last.products:2} products   "
          f"loss {run.history[0].loss:.2f} -> {last.loss:.1e}")

# What race does, written out for one of them: no rate is chosen, and the whole batch is in every evaluation.
model = digits.start()
result = optim.minimize(lambda: digits.loss(model), model.parameters(), method="L-BFGS-B",
                        options={"ftol": 0, "gtol": 0}, callback=lambda iteration: iteration.gradient_norm < 1e-8)
print(f"\nL-BFGS by hand: loss {result.fun:.1e} after {result.nfev} gradients")

if len(sys.argv) > 1:
    print("wrote", *pictures.write(runs, sys.argv[1], target=0.01))

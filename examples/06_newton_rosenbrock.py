"""Newton's method, Newton-CG, L-BFGS and gradient descent on Rosenbrock's valley: few dear steps or many cheap ones.

Reads: minigrad/optim/second_order.py.
"""

import numpy as np

from minigrad import Parameter, optim
from minigrad.viz import functions

rosenbrock = functions.by_name("rosenbrock")  # (1 - x)^2 + 100 (y - x^2)^2, lowest at (1, 1)
w = Parameter(np.array(rosenbrock.start))


def loss():
    return rosenbrock(w[0], w[1])  # a function of the weights: nobody calls backward here


def show(name, steps, evaluations, products):
    x, y = w.data
    print(f"{name:<29}{steps:>6}{evaluations:>13}{products:>10}   ({x:.6f}, {y:.6f})  {loss().item():.1e}")
    w.data[...] = rosenbrock.start


print(f"{'':<29}{'steps':>6}{'evaluations':>13}{'products':>10}   end")
newton = optim.Newton([w], solver="exact", line_search="armijo")  # solves H d = -g: H is two products
steps = 0
while loss().item() > 1e-12:
    newton.step(loss)
    steps += 1
show("Newton, exact, line search", steps, newton.evaluations, newton.products)

for name in ("Newton-CG", "L-BFGS-B"):  # SciPy's: products H v instead of H; or gradients alone
    result = optim.minimize(loss, [w], name, tol=1e-8)
    show(name, result.nit, result.nfev, result.nhvp)

sgd = optim.SGD([w], lr=0.001)  # the only one that needs a rate, and 0.003 is too much
for _ in range(10_000):
    sgd.zero_grad()
    loss().backward()
    sgd.step()
show("gradient descent, lr = 0.001", 10_000, 10_000, 0)

# Plain Newton goes to where the gradient is 0, whatever is there. The gradient of x^2 - y^2 is 0 on the saddle.
v = Parameter(np.array([1.0, 0.5]))
optim.Newton([v], solver="exact").step(lambda: v[0] ** 2 - v[1] ** 2)
print(f"\nplain Newton on x^2 - y^2, one step from (1, 0.5): {v.data + 0} is the saddle")

"""Several optimizers as one."""

from __future__ import annotations

from ..mode import enable_grad
from ..tensor import Tensor
from .optimizer import Optimizer
from .wrappers import SAM, Wrapper


class MultiOptimizer(Wrapper):
    """Several optimizers as one, each for parameters of its own: ``MultiOptimizer(Muon(matrices), AdamW(others))``.

    param_groups are those of all, one after the other. gradient_hooks, and wrappers around it, see all parameters at
    once, so clip_norm's norm is that of the whole model; hooks of one of the optimizers come after them and see its
    own. The closure runs once: TypeError for optimizers that run it at points of their own, as SAM, which goes around
    this, and line searches. lr is the first optimizer's that has one. See `partition` for dividing a model.
    """

    gradient_hooks = None

    def __init__(self, *optimizers: Optimizer | Wrapper):
        if not optimizers:
            raise TypeError("MultiOptimizer got no optimizers: MultiOptimizer(Muon(matrices), AdamW(others))")
        seen: set = set()
        for optimizer in optimizers:
            if not isinstance(optimizer, (Optimizer, Wrapper)):
                raise TypeError(f"MultiOptimizer wraps optimizers, got {optimizer!r:.60}")
            for part in [optimizer, *(optimizer._inside() if isinstance(optimizer, Wrapper) else ())]:
                if isinstance(part, SAM) or (isinstance(part, Optimizer) and _asks_elsewhere(part)):
                    raise TypeError(f"MultiOptimizer runs the closure once, {type(part).__name__} needs it at points "
                                    "of its own" + (": put SAM around it" if isinstance(part, SAM) else ""))
            params = {p for group in optimizer.param_groups for p in group["params"]}
            if params & seen:
                raise ValueError(f"MultiOptimizer: {optimizer!r:.60} has {len(params & seen)} parameters that another "
                                 "one has too; they would be updated twice a step")
            seen |= params
        self.optimizers = list(optimizers)
        self.gradient_hooks = []

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        params = [p for p in self.parameters() if p.grad is not None]
        given = [p.grad for p in params]
        grads = [g.data for g in given]
        for hook in self.gradient_hooks:
            grads = hook(params, grads)
        try:
            for p, g in zip(params, grads if self.gradient_hooks else (), strict=bool(self.gradient_hooks)):
                p.grad = Tensor(g)
            for optimizer in self.optimizers:
                optimizer.step(None if closure is None else lambda: loss)
        finally:
            for p, g in zip(params, given):
                p.grad = g
        return loss

    # ---- those of all ----
    param_groups = property(lambda self: [group for o in self.optimizers for group in o.param_groups])
    defaults = property(lambda self: {k: v for o in reversed(self.optimizers) for k, v in o.defaults.items()})
    state = property(lambda self: {p: s for o in self.optimizers for p, s in o.state.items()})
    needs_graph = False
    stepped = property(lambda self: any(getattr(o, "stepped", True) for o in self.optimizers))

    @property
    def lr(self) -> float:
        """The first group's learning rate that has one. Setting it sets every group's that has one."""
        return next((o for o in self.optimizers if "lr" in o.defaults), self.optimizers[0]).lr

    @lr.setter
    def lr(self, lr):
        self.check({"lr": lr})
        for optimizer in [o for o in self.optimizers if "lr" in o.defaults] or self.optimizers:
            optimizer.lr = lr

    def add_param_group(self, group):
        """Refused: TypeError."""
        raise TypeError("MultiOptimizer: which of its optimizers? multi.optimizers[i].add_param_group(group)")

    def check(self, group):
        """Raise ValueError for hyper-parameters out of range of any of them."""
        for optimizer in self.optimizers:
            optimizer.check(group)

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def _inside(self):
        return []  # hooks and wrappers around this one see the parameters themselves, whatever is inside

    def state_summary(self):
        """What the optimizers' say, parameters counted on; what is not of a parameter under "optimizers.i"."""
        parts = [o.state_summary() for o in self.optimizers]
        rows = [v for part in parts for k, v in part.items() if isinstance(k, int)]
        return {**dict(enumerate(rows)), **{f"optimizers.{i}.{k}": v for i, part in enumerate(parts)
                                            for k, v in part.items() if not isinstance(k, int)}}

    def state_dict(self):
        """What the optimizers' say: {"wrapper", "optimizers": [...]}."""
        return {"wrapper": type(self).__name__, "optimizers": [o.state_dict() for o in self.optimizers]}

    def load_state_dict(self, state):
        """Take over what `state_dict` gave; if one of the optimizers refuses its own, all are left as they were."""
        parts = state.get("optimizers", ())
        if state.get("wrapper") != type(self).__name__ or len(parts) != len(self.optimizers):
            raise ValueError(f"this state is {state.get('wrapper') or 'a plain optimizer'}'s of {len(parts)} "
                             f"optimizers, not {type(self).__name__}'s of {len(self.optimizers)}")
        before = self.state_dict()["optimizers"]
        try:
            for optimizer, part in zip(self.optimizers, parts):
                optimizer.load_state_dict(part)
        except Exception:
            for optimizer, part in zip(self.optimizers, before):
                optimizer.load_state_dict(part)
            raise

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self.optimizers))})"


def _asks_elsewhere(optimizer):
    """Whether it wants gradients elsewhere than at the weights: it has a step of its own, and is no shifted NAG."""
    return type(optimizer).step is not Optimizer.step and any(g.get("lookahead", True) for g in optimizer.param_groups)

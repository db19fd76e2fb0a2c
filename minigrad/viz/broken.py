"""A gallery of backward passes with one thing wrong in each, beside the right one: what one sees, and what it does.

    print(broken.by_key("overwrite").explain(faulty=True))
    print(broken.table())                      # what training makes of each fault
    broken.gallery("broken.html")

Most of these still learn, which is why they are found late: a loss that falls says little about a gradient.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import naming
from ..graph import Node, outputs_first
from ..tensor import Tensor
from .explain import Explanation, _padded, _wide, explain
from .page import LANGUAGES
from .player import run, write
from .walk import Backward

__all__ = ["CASES", "Case", "Cut", "FirstReached", "OneRow", "Overwrites", "Program", "Training", "Unsummed",
           "WrongTanh", "by_key", "gallery", "table", "train"]

STEPS, RATE, HIDDEN = 200, 0.1, 8
LEARNED = 1e-3  # a mean squared error of XOR below which it is learned


# ---- one method wrong in each ----
class Overwrites(Backward):
    """`=` for `+=`: of a value that is used twice only the last message counts."""

    def add(self, old, new):
        return new


class FirstReached(Backward):
    """Breadth first from the result: an operation's turn comes when the first of those that use it has sent."""

    def order(self, roots):
        queue = [node for node in roots if node.op is not None]
        for node in queue:  # which grows on the way
            reached = dict.fromkeys(p for p in node.parents if p is not None and p.op is not None)
            queue += [p for p in reached if p not in queue]
        return queue


class Unsummed(Backward):
    """Broadcasting is not undone: a bias gets a gradient with a row for every example."""

    def fit(self, raw, x, node):
        return raw.astype(x.dtype), ()


class OneRow(Backward):
    """Broadcasting is undone by taking one of the copies, so that at least the shape is right."""

    def fit(self, raw, x, node):
        while raw.ndim > x.ndim:
            raw = raw[0]
        return super().fit(raw, x, node)


class Cut(Backward):
    """As if the value called h had been detached: nothing comes through. The engine leaves .grad None there, here 0."""

    def rule(self, node, index):
        return (lambda g, y, x: 0 * g) if node.name == "h" else super().rule(node, index)


class WrongTanh(Backward):
    """The derivative of tanh taken for 1 - y, where it is 1 - y^2."""

    def rule(self, node, index):
        return (lambda g, y, x: g * (1 - y)) if node.op.key is np.tanh else super().rule(node, index)


# ---- small programs, whose numbers can be checked in one's head ----
class Program(NamedTuple):
    """A loss, its values by name, and the gradients that leaves had before."""

    loss: Tensor
    names: dict[str, Tensor | np.ndarray]
    before: dict[Node, np.ndarray]


def _leaves(**values):
    return [Tensor(np.array(v, np.float64), requires_grad=True, name=k) for k, v in values.items()]


def _second_step():
    w, = _leaves(w=2)
    x, y, rate = np.array(3.0), np.array(5.0), 0.1
    first = (w * x - y) ** 2
    first.backward()
    had = w.grad.data
    w.data = w.data - rate * had
    p = w * x
    e = p - y
    loss = e * e
    return Program(loss, {"w": w, "x": x, "y": y, "p": p, "e": e, "loss": loss}, {w.node: had})


def _used_twice():
    a, b, c = _leaves(a=2, b=-3, c=10)
    e = a * b
    d = e + c
    loss = d * a
    return Program(loss, {"a": a, "b": b, "c": c, "e": e, "d": d, "loss": loss}, {})


def _two_ways():
    a, b, c = _leaves(a=2, b=3, c=-4)
    d = a * b
    s = d + c
    loss = d * s
    return Program(loss, {"a": a, "b": b, "c": c, "d": d, "s": s, "loss": loss}, {})


def _line():
    w, b = _leaves(w=[[1.0], [-1.0]], b=[0.5])
    x, y = np.array([[1.0, 2], [3, 1], [0, 2]]), np.array([[0.0], [2], [-1]])
    p = x @ w
    q = p + b
    e = q - y
    s = e * e
    loss = s.sum()
    return Program(loss, {"w": w, "b": b, "p": p, "q": q, "e": e, "s": s, "loss": loss, "x": x, "y": y}, {})


def _one_neuron():
    w, v = _leaves(w=0.5, v=2)
    x, y = np.array(1.5), np.array(1.0)
    z = w * x
    h = np.tanh(z)
    h.name = "h"
    p = h * v
    e = p - y
    loss = e * e
    return Program(loss, {"w": w, "v": v, "x": x, "y": y, "z": z, "h": h, "p": p, "e": e, "loss": loss}, {})


# ---- what a fault does to training ----
class Training(NamedTuple):
    """losses: before each step and after the last; parameters: after it, by name.

    cosines: of the angle between the gradient that was followed and the right one, at each step until it is learned;
    NaN where they have other shapes.
    """

    losses: np.ndarray
    parameters: dict[str, np.ndarray]
    cosines: np.ndarray

    @property
    def learned(self) -> bool:
        """Whether the loss ended below 0.001."""
        return bool(self.losses[-1] < LEARNED)


def train(backward: type[Backward] = Backward, steps: int = STEPS, seed: int = 0, keep: bool = False,
          rate: float = RATE) -> Training:
    """Learn XOR by gradient descent with the walk ``backward``; keep: without ever zeroing the gradients.

    The network is h = tanh(x w1 + b1), then h + tanh(h w2 + b2), then a line: mean squared error of all four points.
    """
    r = np.random.default_rng(seed)
    x, y = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]), np.array([[0.0], [1], [1], [0]])
    values = {"w1": r.normal(size=(2, HIDDEN)), "b1": np.zeros(HIDDEN),
              "w2": r.normal(size=(HIDDEN, HIDDEN)) / HIDDEN ** 0.5, "b2": np.zeros(HIDDEN),
              "w3": r.normal(size=(HIDDEN, 1)) / HIDDEN ** 0.5, "b3": np.zeros(1)}
    losses, cosines, grads = [], [], {}
    with np.errstate(all="ignore"):  # some faults diverge
        for step in range(steps + 1):
            p = {name: Tensor(value, requires_grad=True) for name, value in values.items()}
            loss = _loss(p, x, y)
            losses.append(loss.item())
            if step == steps:
                break
            before = {p[name].node: g for name, g in grads.items()} if keep else None
            walked = backward({loss.node: np.ones(())}, before).grads
            grads = {name: walked[t.node] for name, t in p.items()}
            if losses[-1] >= LEARNED and (keep or backward is not Backward):
                right = Backward({loss.node: np.ones(())}).grads
                cosines.append(_cosine(grads.values(), [right[t.node] for t in p.values()]))
            values = {name: value - rate * grads[name] for name, value in values.items()}
    return Training(np.array(losses), values, np.array(cosines))


def _cosine(a, b):
    if any(np.shape(u) != np.shape(v) for u, v in zip(a, b)):
        return np.nan
    a, b = (np.concatenate([np.ravel(v) for v in vs]) for vs in (a, b))
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def _loss(p, x, y):
    h = np.tanh(x @ p["w1"] + p["b1"])
    h.name = "h"
    r = h + np.tanh(h @ p["w2"] + p["b2"])
    e = r @ p["w3"] + p["b3"] - y
    return (e * e).mean()


@functools.cache
def _trained(backward, steps, seed, keep):
    return train(backward, steps, seed, keep)


# ---- the cases ----
@dataclass(frozen=True)
class Case:
    """One fault. texts: by language, (title, what one sees, why, how to notice, how to mend). blames: the values whose
    gradient central differences find wrong, in the order of the walk. keep: gradients are never zeroed."""

    key: str
    program: Callable[[], Program]
    backward: type[Backward]
    wrong: str
    right: str
    blames: tuple[str, ...]
    texts: Mapping[str, tuple[str, str, str, str, str]]
    keep: bool = False

    def title(self, language: str = "en") -> str:
        """What is wrong, in a few words."""
        return self.texts[_known(language)][0]

    def explain(self, faulty: bool = True, language: str = "en") -> Explanation:
        """The small program's passes as `explain` tells them, with the fault or without."""
        loss, names, before = self._program()
        return explain(loss, names=names, language=language, before=before if faulty and self.keep else None,
                       backward=self.backward if faulty else Backward)

    def run(self, faulty: bool = True, language: str = "en") -> dict:
        """The same as data for the player; "texts" has title and story in all languages, "curves" the trainings."""
        loss, names, before = self._program()
        texts = {code: {"title": f"{self.title(code)}: {WORDS[code]['wrong' if faulty else 'right']}",
                        "story": self.story(code) if faulty else f"{WORDS[code]['mend']} {self.texts[code][4]}",
                        "code": self.wrong if faulty else self.right} for code in LANGUAGES}
        curves = {"right": _trained(Backward, STEPS, 0, False).losses, "wrong": self.train().losses}
        return run(loss, names=names, before=before if faulty and self.keep else None,
                          backward=self.backward if faulty else Backward,
                          key=f"{self.key}-{'wrong' if faulty else 'right'}", **texts[_known(language)], texts=texts,
                          faulty=faulty, curves=curves)

    def _program(self):
        built = self.program()
        for node in outputs_first([built.loss.node]):
            node.where = None  # it would be the line that asked for the case
        return built

    def train(self, steps: int = STEPS, seed: int = 0) -> Training:
        """XOR learned with the fault."""
        return _trained(self.backward, steps, seed, self.keep)

    def story(self, language: str = "en") -> str:
        """What one sees and why, what it does to training, how to notice it, how to mend it: a line each."""
        _, sees, why, notice, mend = self.texts[_known(language)]
        words = WORDS[language]
        right, wrong = _trained(Backward, STEPS, 0, False), self.train()
        measured = words["measured"].format(steps=STEPS, right=right.losses[-1], wrong=wrong.losses[-1])
        shape = wrong.parameters["b1"].shape
        if shape != right.parameters["b1"].shape:
            measured += " " + words["grown"].format(shape=shape, was=right.parameters["b1"].shape)
        return "\n".join([f"{sees} {why}", measured, f"{words['notice']} {notice}", f"{words['mend']} {mend}"])


WORDS = {
    "en": {"wrong": "wrong", "right": "right", "notice": "How to notice:", "mend": "How to mend:",
           "measured": "Learning XOR with it, the loss after {steps} steps is {wrong:.2g}; without it, {right:.2g}.",
           "grown": "But the bias b1 has grown from {was} to {shape}: this is a network for these four examples alone.",
           "fault": "fault", "learned": "learned", "median": "median loss", "worst": "worst loss", "cosine": "cosine",
           "none": "none",
           "flagged": "differences flag", "gallery": "broken backprop, and what it does"},
    "ko": {"wrong": "잘못된 것", "right": "올바른 것", "notice": "알아차리는 법:", "mend": "고치는 법:",
           "measured": "이렇게 XOR을 학습하면 {steps}단계 뒤 손실은 {wrong:.2g}이고, 올바르게 하면 {right:.2g}입니다.",
           "grown": "그러나 편향 b1의 형상이 {was}에서 {shape}로 커졌습니다. 이 네 예제에만 쓸 수 있는 신경망입니다.",
           "fault": "잘못", "learned": "학습 성공", "median": "손실 중앙값", "worst": "최악의 손실", "cosine": "코사인",
           "none": "없음",
           "flagged": "차분이 짚은 값", "gallery": "고장 난 역전파, 그리고 그 결과"},
}


def _known(language):
    if language not in LANGUAGES:
        raise ValueError(f"language is one of {', '.join(LANGUAGES)}, not {language!r}")
    return language


CASES = (
    Case("no-zero-grad", _second_step, Backward, "loss.backward()\noptimizer.step()",
         "optimizer.zero_grad()\nloss.backward()\noptimizer.step()", ("w",), {
             "en": ("No zero_grad",
                    "In the second step w gets 6 + (-4.8) = 1.2: the sign is wrong, and w moves away from the minimum.",
                    "backward adds to .grad, and 6 was left there by the first step. A sum of all gradients so far is "
                    "momentum that nothing damps: w swings around the minimum and does not come to rest.",
                    "This step's rules are all right. What is wrong is the sum: central differences are of this step's "
                    "loss alone, whose gradient is -4.8, so they flag w and nothing else. Print .grad after each "
                    "backward, or compare with grad(loss, w), which starts from nothing.",
                    "Call optimizer.zero_grad() before every backward, except to add up gradients on purpose."),
             "ko": ("zero_grad를 빠뜨림",
                    "두 번째 단계에서 w가 받는 기울기는 6 + (-4.8) = 1.2입니다. 부호가 틀려서 w는 최솟값에서 "
                    "멀어집니다.",
                    "backward는 .grad에 더하는데, 첫 단계의 6이 그대로 남아 있었습니다. 지금까지의 모든 기울기의 합은 "
                    "감쇠 없는 모멘텀과 같아서, w는 최솟값 둘레를 오가며 멈추지 않습니다.",
                    "이 단계의 규칙은 모두 옳고, 합이 틀렸습니다. 중앙 차분은 이 단계의 손실만 보므로 그 기울기 "
                    "-4.8과 다른 w만 짚어 냅니다. backward 뒤마다 .grad를 찍어 보거나, 0에서 시작하는 "
                    "grad(loss, w)와 비교하세요.",
                    "backward 전에 매번 optimizer.zero_grad()를 부르세요. 기울기를 일부러 누적할 때만 생략합니다."),
         }, keep=True),
    Case("overwrite", _used_twice, Overwrites, "grads[parent] = d", "grads[parent] = grads[parent] + d", ("a",), {
        "en": ("= for +=",
               "a is used twice and should get 4 + (-6) = -2; it gets -6, the last message, and the 4 is lost.",
               "Along each path through the graph a value changes the result; the chain rule adds the paths up.",
               "Central differences flag a, used twice, and not b and c, used once. A test that uses every value once "
               "never notices.",
               "Add to what is there already, and make a new array: += in place would also change an array that a rule "
               "has handed to someone else."),
        "ko": ("+= 대신 =",
               "a는 두 번 쓰이므로 4 + (-6) = -2를 받아야 하지만, 마지막 값 -6만 받고 4는 사라집니다.",
               "값은 그래프의 모든 경로를 따라 결과를 바꾸며, 연쇄 법칙은 경로마다의 몫을 더합니다.",
               "중앙 차분은 두 번 쓰인 a만 짚고, 한 번 쓰인 b와 c는 짚지 않습니다. 모든 값을 한 번씩만 쓰는 "
               "테스트로는 결코 알 수 없습니다.",
               "이미 있는 값에 더하되 새 배열을 만드세요. 제자리 +=는 규칙이 다른 곳에도 넘긴 배열까지 바꿉니다."),
    }),
    Case("wrong-order", _two_ways, FirstReached, "queue = [root]\nfor node in queue:\n    queue += node.parents",
         "for node in sorted(nodes, key=born, reverse=True):", ("d", "a", "b"), {
             "en": ("The wrong order",
                    "The rules of d run when 2 has arrived, from the product; the 6 by way of s comes too late. a and "
                    "b get a quarter of their gradient.",
                    "d is used by s and by the loss, and d's turn came before s had sent: breadth first is not an "
                    "order in which everything comes after all that uses it.",
                    "Central differences flag d, where a message is missing, and all that lies behind it; s and c "
                    "are right. Chains and trees never show it: it takes two ways of unequal length.",
                    "Walk in reverse topological order. A node is born after its inputs, so to sort by age will do."),
             "ko": ("잘못된 순서",
                    "d의 규칙은 곱셈에서 온 2만 도착했을 때 실행되고, s를 거쳐 오는 6은 너무 늦게 도착합니다. "
                    "a와 b는 기울기의 4분의 1만 받습니다.",
                    "d는 s와 손실 두 곳에서 쓰이는데 s가 보내기 전에 d의 차례가 왔습니다. 너비 우선 순서에서는 어떤 "
                    "값을 쓰는 연산이 모두 그 값보다 먼저 나온다는 보장이 없습니다.",
                    "중앙 차분은 값이 빠진 d와 그 뒤의 모두를 짚고, s와 c는 옳다고 합니다. 사슬이나 트리에서는 "
                    "드러나지 않으며, 길이가 다른 두 갈래가 있어야 보입니다.",
                    "위상 정렬의 역순으로 걸으세요. 노드는 입력보다 나중에 생기므로 생긴 순서의 역순이면 됩니다."),
         }),
    Case("no-unbroadcast", _line, Unsummed, "grads[b] = g", "grads[b] = g.sum(axis=0)", ("b",), {
        "en": ("Broadcasting not undone",
               "The bias b has one number and gets three, one for every example: 2 e instead of their sum.",
               "The forward pass copied b to every row, so b acts through every row, and its gradient is the sum.",
               "The shape tells: a gradient has the shape of its value, and central differences, one number for b, "
               "flag it. Taking one row, or the mean, has the right shape and is still wrong: only the numbers tell.",
               "Sum over the axes that broadcasting added or stretched. (NumPy's -= in place raises here; "
               "b = b - lr * g does not, and b grows.)"),
        "ko": ("브로드캐스팅을 되돌리지 않음",
               "편향 b는 수 하나인데 예제마다 하나씩 세 개의 기울기를 받습니다. 합이 아니라 2 e 그대로입니다.",
               "순전파가 b를 모든 행에 복사했으므로 b는 모든 행을 통해 작용하고, 기울기는 그 합입니다.",
               "형상이 말해 줍니다. 기울기의 형상은 값의 형상과 같아야 하고, 중앙 차분은 b에 대해 수 하나이므로 "
               "바로 짚어 냅니다. 한 행만 취하거나 평균을 내면 형상은 맞지만 여전히 틀리며, 그때는 숫자로만 알 수 "
               "있습니다.",
               "브로드캐스팅이 더하거나 늘린 축을 따라 합하세요. (NumPy의 제자리 -=는 여기서 오류를 내지만 "
               "b = b - lr * g는 오류 없이 b를 키웁니다.)"),
    }),
    Case("detach", _one_neuron, Cut, "h = np.tanh(z).detach()", "h = np.tanh(z)", ("z", "w"), {
        "en": ("A detach on the way",
               "Nothing passes h: z and w get 0 (in the engine .grad stays None), v is right.",
               "detach(), t.data, t.item() or no_grad() make a constant of a value: forward all is the same, and for "
               "backward the path ends there.",
               "Central differences of the whole program flag z and w: the loss does change with them. After backward "
               "look for parameters whose .grad is None, or that stay as they were drawn.",
               "Stay with Tensors from the parameters to the loss; detach only what shall not learn."),
        "ko": ("도중의 detach",
               "h를 지나 오는 것이 없습니다. z와 w의 기울기는 0이고(엔진에서는 .grad가 None), v는 옳습니다.",
               "detach(), t.data, t.item(), no_grad()는 값을 상수로 만듭니다. 순전파는 똑같지만 역전파의 길은 "
               "거기서 끝납니다.",
               "프로그램 전체의 중앙 차분은 z와 w를 짚습니다. 손실은 분명히 이들에 따라 변하기 때문입니다. backward "
               "뒤에 .grad가 None이거나 처음 값 그대로인 매개변수를 찾아보세요.",
               "매개변수에서 손실까지 Tensor로 계산하고, 학습하지 않을 값만 detach하세요."),
    }),
    Case("wrong-rule", _one_neuron, WrongTanh, "rule(np.tanh, lambda g, y, x: g * (1 - y))",
         "rule(np.tanh, lambda g, y, x: g * (1 - y * y))", ("z", "w"), {
             "en": ("A wrong rule: tanh' = 1 - y",
                    "z gets g (1 - y), and should get g (1 - y^2): with y = 0.635 not even two thirds of it.",
                    "A slip in one formula. At y = 0 both are 1, and for y < 0 the wrong one is too large. This factor "
                    "has the right sign always, a sum of such messages need not: most trainings go on, some do not.",
                    "Central differences flag z, right behind tanh, and all that lies behind; gradcheck(np.tanh, x) "
                    "fails and names the rule of tanh.",
                    "Check every rule with testing.check_op before it is used."),
             "ko": ("틀린 규칙: tanh' = 1 - y",
                    "z는 g (1 - y^2)를 받아야 하는데 g (1 - y)를 받습니다. y = 0.635이므로 3분의 2도 되지 않습니다.",
                    "식 하나의 실수입니다. y = 0에서는 둘 다 1이고 y < 0이면 틀린 쪽이 더 큽니다. 이 인수의 "
                    "부호는 언제나 맞지만 여러 메시지의 합은 그렇지 않을 수 있습니다. 대개는 학습이 되고 가끔 "
                    "실패합니다.",
                    "중앙 차분은 tanh 바로 뒤의 z와 그 뒤의 모두를 짚고, gradcheck(np.tanh, x)는 실패하며 tanh의 "
                    "규칙을 지목합니다.",
                    "규칙은 쓰기 전에 모두 testing.check_op으로 검사하세요."),
         }),
)


def by_key(key: str) -> Case:
    """The case of this key; ValueError says which there are."""
    return naming.find("case", key, {naming.spelled(case.key): case for case in CASES})


def table(seeds: int = 20, steps: int = STEPS, language: str = "en") -> str:
    """What training makes of each fault: how many of so many networks learn XOR, and their losses after the last step.

    cosine: between the gradient that was followed and the right one, the mean of all steps until it is learned. The
    second line of broadcasting is `OneRow`. All in the same network, from the same beginnings.
    """
    words = WORDS[_known(language)]
    if not isinstance(seeds, (int, np.integer)) or seeds < 1:
        raise ValueError(f"table: seeds is at least 1, not {seeds!r}")
    faults: list[tuple[str, type[Backward], bool, Sequence[str]]] = [(words["none"], Backward, False, ())]
    for case in CASES:
        faults.append((case.title(language), case.backward, case.keep, case.blames))
        if case.backward is Unsummed:
            faults.append(("  g[0]", OneRow, False, case.blames))
    rows = [(words["fault"], words["learned"], words["median"], words["worst"], words["cosine"],
             words["flagged"])]
    for name, backward, keep, blames in faults:
        trained = [_trained(backward, steps, seed, keep) for seed in range(seeds)]
        ends = np.nan_to_num([t.losses[-1] for t in trained], nan=np.inf)
        cosine = 1.0 if backward is Backward and not keep else np.mean(np.concatenate([t.cosines for t in trained]))
        rows.append((name, f"{(ends < LEARNED).sum()} / {seeds}", f"{np.median(ends):.2g}", f"{ends.max():.2g}",
                     "" if np.isnan(cosine) else f"{cosine:.2f}", ", ".join(blames)))
    widths = [max(map(_wide, column)) for column in zip(*rows)]
    lines = ("  ".join(_padded(cell, w, right=0 < i < 5) for i, (cell, w) in enumerate(zip(row, widths)))
             for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def gallery(path: str | os.PathLike[str], language: str = "en") -> Path:
    """Write one page with all cases, each wrong and right, to be played step by step; return its path."""
    title = f"minigrad: {WORDS[_known(language)]['gallery']}"
    runs = [case.run(faulty, language) for case in CASES for faulty in (True, False)]
    return write(runs, path, title, language)

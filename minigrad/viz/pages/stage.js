// ---- numbers that carry their derivatives: [value, d/dx, d/dy, d2/dx2, d2/dxdy, d2/dy2] ----
const jet = (() => {
  const of = a => typeof a === "number" ? [a, 0, 0, 0, 0, 0] : a;
  const plus = (a, b, sign) => { const [p, q] = [of(a), of(b)]; return p.map((v, i) => v + sign * q[i]); };
  const chain = (a, value, slope, bend) => [value, slope * a[1], slope * a[2], slope * a[3] + bend * a[1] * a[1],
    slope * a[4] + bend * a[1] * a[2], slope * a[5] + bend * a[2] * a[2]];
  const times = (p, q) => [p[0] * q[0], p[1] * q[0] + p[0] * q[1], p[2] * q[0] + p[0] * q[2],
    p[3] * q[0] + 2 * p[1] * q[1] + p[0] * q[3], p[4] * q[0] + p[1] * q[2] + p[2] * q[1] + p[0] * q[4],
    p[5] * q[0] + 2 * p[2] * q[2] + p[0] * q[5]];
  const mul = (a, b) => typeof a === "number" ? of(b).map(v => a * v) : typeof b === "number" ? a.map(v => v * b) : times(a, b);
  const power = (x, n, factor) => factor === 0 ? 0 : factor * x ** n;
  const pow = (a, n) => chain(a, a[0] ** n, power(a[0], n - 1, n), power(a[0], n - 2, n * (n - 1)));
  return {
    of, mul, pow,
    add: (a, b) => plus(a, b, 1),
    sub: (a, b) => plus(a, b, -1),
    div: (a, b) => typeof b === "number" ? a.map(v => v / b) : mul(a, pow(b, -1)),
    exp: a => chain(a, Math.exp(a[0]), Math.exp(a[0]), Math.exp(a[0])),
    log: a => chain(a, Math.log(a[0]), 1 / a[0], -1 / a[0] ** 2),
    sin: a => chain(a, Math.sin(a[0]), Math.cos(a[0]), -Math.sin(a[0])),
    cos: a => chain(a, Math.cos(a[0]), -Math.sin(a[0]), -Math.cos(a[0])),
    sqrt: a => pow(a, 0.5),
    tanh: a => { const t = Math.tanh(a[0]), s = 1 - t * t; return chain(a, t, s, -2 * t * s); },
  };
})();
function look(f, [x, y]) {
  const [value, gx, gy, hxx, hxy, hyy] = jet.of(f.jet([x, 1, 0, 0, 0, 0], [y, 0, 1, 0, 0, 0]));
  return {value, gradient: [gx, gy], hessian: [[hxx, hxy], [hxy, hyy]]};
}

// ---- vectors of two ----
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];
const along = (x, a, d) => [x[0] + a * d[0], x[1] + a * d[1]];
const scaled = (a, k) => [k * a[0], k * a[1]];
const finite = a => a.flat().every(Number.isFinite);
const times = (m, v) => m.map(row => dot(row, v));
// Gauss with the larger pivot; null for a singular matrix.
function solve(matrix, right) {
  const [[[a, b], u], [[c, d], v]] = matrix.map((row, i) => [row, right[i]])
    .sort((p, q) => Math.abs(q[0][0]) - Math.abs(p[0][0]));
  const factor = c / a, rest = d - factor * b;
  if (a === 0 || rest === 0) return null;
  const y = (v - factor * u) / rest;
  return [(u - b * y) / a, y];
}

// ---- line searches: at(a) = {value, slope} a along the direction ----
const C1 = 1e-4;
function armijo(at, f, slope, first, c1) {
  let a = first;
  while (!(at(a).value <= f + c1 * a * slope)) {
    a /= 2;
    if (a < first * 2 ** -60) return 0;
  }
  return a;
}
function wolfe(at, f, slope, first, c1, c2) {
  const line = {value: a => at(a * first).value, slope: a => at(a * first).slope * first, f, s: slope * first, c1, c2};
  const found = bracketed(line), a = found === null ? null : found * first;
  return a === null || !(at(a).value <= f + c1 * a * slope) ? armijo(at, f, slope, first, c1) : a;
}
const tooHigh = (line, a, value) => value > line.f + line.c1 * a * line.s;
const flatEnough = (line, slope) => Math.abs(slope) <= -line.c2 * line.s;
// Steps of doubled length until one has gone too far (Nocedal & Wright 2006, algorithm 3.5).
function bracketed(line) {
  let last = {a: 0, value: line.f, slope: line.s};
  let a = 1, value = line.value(a);
  for (let i = 0; i < 30; i++) {
    if (tooHigh(line, a, value) || (i > 0 && value >= last.value)) return zoomed(line, last, {a, value});
    const here = {a, value, slope: line.slope(a)};
    if (flatEnough(line, here.slope)) return a;
    if (here.slope >= 0) return zoomed(line, here, last);
    [last, a] = [here, 2 * a];
    value = line.value(a);
  }
  return a;
}
// Between a good end and a bad one: the least of a cubic, else of a parabola, else the middle (algorithm 3.6).
function zoomed(line, low, high) {
  let recent = {a: 0, value: line.f};
  for (let i = 0; i <= 10; i++) {
    const width = high.a - low.a, [left, right] = width < 0 ? [high.a, low.a] : [low.a, high.a];
    const outside = (a, share) => a === null || a > right - share * width || a < left + share * width;
    let a = i > 0 ? leastOfCubic(low, high, recent) : null;
    if (outside(a, 0.2)) {
      a = leastOfParabola(low, high);
      if (outside(a, 0.1)) a = low.a + 0.5 * width;
    }
    const value = line.value(a);
    if (tooHigh(line, a, value) || value >= low.value) {
      [recent, high] = [high, {a, value}];
      continue;
    }
    const slope = line.slope(a);
    if (flatEnough(line, slope)) return a;
    if (slope * (high.a - low.a) >= 0) [recent, high] = [high, low];
    else recent = low;
    low = {a, value, slope};
  }
  return null;
}
const orNull = a => Number.isFinite(a) ? a : null;
function leastOfParabola(low, high) {
  const width = high.a - low.a;
  const bend = (high.value - low.value - low.slope * width) / (width * width);
  return orNull(low.a - low.slope / (2 * bend));
}
function leastOfCubic(low, high, recent) {
  const b = high.a - low.a, c = recent.a - low.a, scale = (b * c) ** 2 * (b - c);
  const over = [high.value - low.value - low.slope * b, recent.value - low.value - low.slope * c];
  const cubic = (c ** 2 * over[0] - b ** 2 * over[1]) / scale;
  const square = (-(c ** 3) * over[0] + b ** 3 * over[1]) / scale;
  return orNull(low.a + (-square + Math.sqrt(square * square - 3 * cubic * low.slope)) / (3 * cubic));
}
// How far to go from x along d, 0 if nowhere; what was seen there.
function search(method, at, x, d, here, first, c2) {
  const slope = dot(here.gradient, d), seen = new Map();
  if (!Number.isFinite(here.value) || !(slope < 0 && slope > -Infinity)) return {a: 0};
  function trial(a) {
    if (!seen.has(a)) {
      const there = at(along(x, a, d));
      seen.set(a, {there, value: Number.isNaN(there.value) ? Infinity : there.value, slope: dot(there.gradient, d)});
    }
    return seen.get(a);
  }
  const a = method(trial, here.value, slope, first, C1, c2);
  return {a, there: a ? seen.get(a).there : null};
}

// ---- optimizers: make(kind, group, at, start) gives {step(w) -> w, state()}; at(w) counts as one gradient ----
class Ended extends Error {}
const zeros = (name, w) => w.map(() => 0);
// minigrad's shell around a formula for one weight: hyper-parameters, slots, weight decay.
function elementwise(kind, group, at, start) {
  const kept = {}, slots = kind.slots.map(name => kind.unused.includes(name) ? null : (kind.first || zeros)(name, start, group));
  const betas = Object.fromEntries((group.betas || []).map((beta, i) => [`beta${i + 1}`, beta]));
  const [coupled, decoupled] = kind.decays;
  let t = 0, numbers = {};
  function step(point) {
    const w = [...point];
    let g = at(w).gradient;
    t += 1;
    numbers = kind.numbers ? kind.numbers(group, kept, t) : {};
    const known = {...group, ...betas, ...numbers, t};
    if (decoupled) w.forEach((v, i) => { w[i] = v * (1 - group.lr * decoupled); });
    else if (coupled) g = g.map((v, i) => v + coupled * w[i]);
    kind.update(w, g, ...slots, ...kind.scalars.map(name => known[name]));
    return w;
  }
  const arrays = () => Object.fromEntries(kind.slots.flatMap((name, i) => slots[i] ? [[name, [...slots[i]]]] : []));
  return {step, state: () => ({...arrays(), ...(t ? {...numbers, ...kept} : {}), t})};
}
function newton(kind, group, at) {
  let state = {};
  function step(w) {
    const {gradient, hessian} = at(w, 4);
    state = {H: hessian};
    if (!finite(gradient) || !finite(hessian)) return w;
    const d = solve(hessian, gradient);
    if (d === null) throw new Ended("singular");
    const inverse = [solve(hessian, [1, 0]), solve(hessian, [0, 1])];
    state = {H: hessian, eigenvalues: eigenvalues(hessian), matrix: inverse};
    return along(w, -group.lr, d);
  }
  return {step, state: () => state};
}
function eigenvalues([[a, b], [, d]]) {
  const middle = (a + d) / 2, half = Math.hypot((a - d) / 2, b);
  return [middle + half, middle - half];
}
function twoLoops(gradient, pairs) {
  let g = gradient;
  const shares = [];
  for (const [s, y] of [...pairs].reverse()) {
    const rho = 1 / dot(s, y), share = rho * dot(s, g);
    shares.push([rho, share]);
    g = along(g, -share, y);
  }
  const last = pairs.at(-1)[1];
  g = scaled(g, 1 / (shares[0][0] * dot(last, last)));
  pairs.forEach(([s, y], i) => {
    const [rho, share] = shares[pairs.length - 1 - i];
    g = along(g, share - rho * dot(y, g), s);
  });
  return g;
}
const largest = v => Math.max(...v.map(Math.abs));
function lbfgs(kind, group, at) {
  let pairs = [], last = null, iterations = 0, length = null;
  function direction(g) {
    if (last) {
      const pair = [last.step, minus(g, last.g)];
      last = null;
      if (dot(pair[1], pair[0]) > 1e-10) pairs = [...pairs, pair].slice(-group.history_size);
    }
    return pairs.length ? scaled(twoLoops(g, pairs), -1) : scaled(g, -1);
  }
  function step(w) {
    const here = at(w), g = here.gradient;
    length = null;
    if (!Number.isFinite(here.value) || !(largest(g) > group.tolerance_grad)) return w;
    const d = direction(g);
    if (!(dot(g, d) < -group.tolerance_change)) return w;
    iterations += 1;
    const first = group.lr * (iterations === 1 ? Math.min(1, 1 / (Math.abs(g[0]) + Math.abs(g[1]))) : 1);
    const {a, there} = search(wolfe, at, w, d, here, first, 0.9);
    if (!a || !Number.isFinite(there.value) || !finite(there.gradient)) return w;
    last = {step: scaled(d, a), g};
    length = a;
    return along(w, a, d);
  }
  const inverse = () => pairs.length ? [twoLoops([1, 0], pairs), twoLoops([0, 1], pairs)] : [[1, 0], [0, 1]];
  return {step, state: () => ({"s, y": pairs.length, a: length, s: pairs.at(-1)?.[0], y: pairs.at(-1)?.[1],
    matrix: length === null ? null : inverse().map(row => scaled(row, length))})};
}
function searching(method, c2, direction) {
  return (kind, group, at) => {
    const memory = {};
    let length = null, state = {};
    function step(w) {
      const here = at(w), d = direction(here.gradient, memory);
      const {a} = search(method, at, w, d, here, group.lr, c2);
      length = a;
      state = {a, d, ...("beta" in memory ? {beta: memory.beta} : {})};
      return a ? along(w, a, d) : w;
    }
    return {step, state: () => state};
  };
}
function conjugate(g, memory) {
  const {g: old, d: before} = memory;
  let d = scaled(g, -1), beta = 0;
  if (!finite(g)) { delete memory.g; return d; }
  if (old && dot(old, old) > 0) {
    beta = Math.max(dot(g, minus(g, old)), 0) / dot(old, old);
    d = along(d, beta, before);
    if (!(dot(g, d) < 0 && dot(g, d) > -Infinity)) [d, beta] = [scaled(g, -1), 0];
  }
  Object.assign(memory, {g, d, beta});
  return d;
}
function barzilaiBorwein(kind, group, at) {
  let last = null, a = null;
  function step(w) {
    const g = at(w).gradient;
    a = group.lr;
    if (last) {
      const s = minus(w, last.w), y = minus(g, last.g), [ss, sy, yy] = [dot(s, s), dot(s, y), dot(y, y)];
      if (yy > 0 && yy < Infinity && ss < Infinity) a = sy <= 0 ? Math.sqrt(ss / yy) : ss / sy;
    }
    last = {w, g};
    return a ? along(w, -a, g) : w;
  }
  return {step, state: () => ({a})};
}
const TWINS = {
  Newton: newton, LBFGS: lbfgs, SteepestDescent: searching(armijo, 0.9, g => scaled(g, -1)),
  ConjugateGradient: searching(wolfe, 0.1, conjugate), BarzilaiBorwein: barzilaiBorwein,
};

// ---- running: one optimizer's way, as minigrad.viz.theatre.descend goes it ----
const FELL = "fell", LEFT = "left", NAN = "nan";
function groupOf(kind, settings) {
  const group = {...kind.group, ...settings};
  for (const name of kind.follows) group[name] = group.lr;
  return group;
}
function descend(f, name, settings, start, steps) {
  const kind = OPTIMIZERS[name];
  let spent = 0, ended = "", w = [...start];
  const at = (point, more = 0) => { spent += 1 + more; return look(f, point); };
  const machine = (kind.twin ? TWINS[name] : elementwise)(kind, groupOf(kind, settings), at, w);
  const points = [w], evaluations = [0], states = [machine.state()];
  for (let i = 0; i < steps && !ended; i++) {
    try { w = machine.step(w); } catch (error) {
      if (!(error instanceof Ended)) throw error;
      ended = error.message;
    }
    states.push(machine.state());
    if (!w.every(v => Math.abs(v) < FAR)) ended = w.some(Number.isNaN) ? NAN : fell(f, w, start) ? FELL : LEFT;
    if (!ended) { points.push(w); evaluations.push(spent); }
  }
  const losses = points.map(p => f.value(...p));
  const gaps = f.lowest === -Infinity ? losses : losses.map(v => Math.max(v - f.lowest, 0));
  return {name, settings, points, evaluations, states, losses, gaps, ended, gradients: spent};
}
const fell = (f, w, start) => f.lowest === -Infinity && f.value(...w) < f.value(...start);
const inside = (f, [x, y]) => x >= f.window[0][0] && x <= f.window[0][1] && y >= f.window[1][0] && y <= f.window[1][1];

// The function's settings, else the rate with the smallest mean plus last loss: minigrad.viz.theatre.tuned.
function tuned(f, name) {
  const kind = OPTIMIZERS[name], known = f.settings[name.toLowerCase()];
  if (known || !kind.rate) return {...known};
  const tries = RATES.map(lr => descend(f, name, {lr}, f.start, f.steps));
  if (f.lowest === -Infinity) {
    const bottom = lowestShown(f), best = tries.find(run => run.ended === FELL || Math.min(...run.losses) < bottom);
    return (best || least(tries, run => Math.min(...run.losses))).settings;
  }
  const standing = tries.filter(run => !run.ended);
  return least(standing.length ? standing : tries, run => score(f, run)).settings;
}
function least(runs, value) { return runs.reduce((best, run) => value(run) < value(best) ? run : best); }
function score(f, run) {
  const gaps = run.gaps.map(gap => Math.min(gap, 10 * run.gaps[0]));
  const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
  return (mean + gaps.at(-1)) * (run.points.every(p => inside(f, p)) ? 1 : 2);
}
function lowestShown(f, n = 201) {
  const [[left, right], [bottom, top]] = f.window;
  let low = Infinity;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++)
    low = Math.min(low, f.value(left + (right - left) * i / (n - 1), bottom + (top - bottom) * j / (n - 1)));
  return low;
}
// ---- the page ----
texts({
  en: {
    heading: "Optimizer theatre", function: "Function", transport: "Walk through the race", first: "To the start (Home)",
    back: "One step back (left arrow)", forward: "One step on (right arrow)", last: "To the end (End)", play: "▶ Play",
    pause: "❚❚ Pause",
    scrubber: "Step", step: "step {k} of {n}", speed: "Steps a second", start: "Start", steps: "Steps", reset: "As given",
    by_step: "by step", by_gradient: "by gradients evaluated", curves_title: "Loss", curves_above: "Loss above its minimum of {low}",
    standings_title: "After {k} steps", racers: "Optimizers",
    hint: "Click to start there; with the picture in focus, arrow keys move the start (Shift: finely). Ring: start. Star: minimum. " +
      "Arrow: the next step.",
    choose: "Choose optimizers", add: "Another rate", add_label: "Race {name} once more, with another rate", remove: "Remove {name}",
    optimizer: "optimizer", loss: "loss", gap: "above minimum", gradients: "gradients", said: "what happened", rate: "rate",
    rate_of: "Rate of {name}", slider_of: "Rate of {name}, slider", own: "the function's own rate",
    tuned: "best of 16 rates from 0.0001 to 10", chosen: "your rate", none: "finds its steps itself", at: "at", gradient: "−gradient",
    next: "next step", momentum: "momentum {name}", effective: "effective rate", effective_of: "next step ÷ {name}", no_step: "none",
    state: "State", formula: "Formula", before: "as it will be after the next step",
   
    translated: "The text that minigrad runs:", javascript: "What this page runs, in JavaScript:", square: "second moment",
    squares: "2nd moment {name}", is_momentum: "momentum", left: "over: left all bounds in step {k}",
    fell: "over: fell out of all bounds in step {k}", nan: "over: NaN in step {k}",
    singular: "over: the Hessian in step {k} is singular, no step is defined", outside: "outside the picture",
    was_outside: "was outside the picture in step {k}", arrived: "at the minimum", still: "stands still: the gradient is 0",
    rests: "takes no step", saddle: "stands still at a saddle: the gradient is 0", going: "—",
    picture: "Contours of {name} and the paths of {racers}", chart: "Loss of {racers} {by}, at step {k}",
    summary: "Step {k} of {n}. Lowest loss: {name}, {loss}.", empty: "Nobody races: choose optimizers below.",
    full: "At most {n} race at once.",
    cards_note: "Small pictures have the stage's scales: each arrow shows only a direction. Solid: next step, dotted: −gradient, " +
      "dashed: momentum; the ellipse shows how far one unit of gradient in each direction leads: how long and where, for the longest " +
      "as long as the picture allows. Momentum and moments are those that the next step will use.",
    rates_note: "A rate is the function's own, or else, of 16 from 0.0001 to 10, the one with the smallest mean plus last loss from " +
      "the function's own start (doubled where a path leaves the picture; without a lower bound, the smallest that leads out of the " +
      "picture downhill).",
    keys: "Keys: space plays and pauses, ← → go a step, Home and End to the ends. The address of this page keeps the race: copy it " +
      "to show it to others.",
    made: "Paths are computed here, by minigrad's own formulas put into JavaScript; Newton's method, L-BFGS, Barzilai-Borwein and line " +
      "searches are written again. Tests hold all paths equal to minigrad's, as far as rounding decides nothing.",
    family_momentum: "Gradient descent and momentum", family_adaptive: "Adaptive rates", family_adam: "Adam's family",
    family_adam_variants: "Variants of Adam", family_sign: "Signs", family_stepfree: "No rate", family_second_order: "Second order",
    family_classical: "Line searches and gradients",
  },
  ko: {
    heading: "최적화 극장", function: "함수", transport: "경주를 한 걸음씩", first: "처음으로 (Home)", back: "한 걸음 뒤로 (왼쪽 화살표)",
    forward: "한 걸음 앞으로 (오른쪽 화살표)", last: "끝으로 (End)", play: "▶ 재생", pause: "❚❚ 멈춤", scrubber: "걸음", step: "{n}걸음 중 {k}", speed: "초당 걸음",
    start: "출발점", steps: "걸음 수", reset: "처음 값으로", by_step: "걸음에 따라", by_gradient: "계산한 기울기 수에 따라", curves_title: "손실",
    curves_above: "최솟값 {low} 위의 손실", standings_title: "{k}걸음 뒤", racers: "최적화 알고리즘",
    hint: "누른 곳에서 출발합니다. 그림에 초점이 있으면 화살표 키로 출발점을 옮깁니다(Shift: 조금씩). 고리: 출발점, 별: 최소점, 화살표: 다음 걸음.", choose: "최적화 알고리즘 고르기", add: "다른 학습률로",
    add_label: "{name}을(를) 다른 학습률로 하나 더", remove: "{name} 빼기", optimizer: "알고리즘", loss: "손실", gap: "최솟값과의 차", gradients: "기울기 계산",
    said: "상태", rate: "학습률", rate_of: "{name}의 학습률", slider_of: "{name}의 학습률 슬라이더", own: "이 함수에 정해 둔 학습률",
    tuned: "0.0001부터 10까지 학습률 16개 중 가장 나은 것", chosen: "직접 고른 학습률", none: "걸음 크기를 스스로 정합니다", at: "위치", gradient: "−기울기", next: "다음 걸음",
    momentum: "모멘텀 {name}", effective: "실효 학습률", effective_of: "다음 걸음 ÷ {name}", no_step: "없음", state: "내부 상태", formula: "갱신식",
    before: "다음 걸음을 내딛은 뒤의 값",
    translated: "minigrad가 실행하는 코드:", javascript: "이 페이지가 실행하는 JavaScript:", square: "2차 모멘트", squares: "2차 모멘트 {name}", is_momentum: "모멘텀",
    left: "끝: {k}번째 걸음에서 범위를 완전히 벗어남", fell: "끝: {k}번째 걸음에서 끝없이 아래로 떨어짐", nan: "끝: {k}번째 걸음에서 NaN",
    singular: "끝: {k}번째 걸음의 헤세 행렬이 특이 행렬이라 걸음이 정의되지 않음", outside: "그림 밖에 있음", was_outside: "{k}번째 걸음에서 그림 밖으로 나갔었음", arrived: "최소점에 도착",
    still: "멈춤: 기울기가 0", rests: "더 움직이지 않음", saddle: "안장점에서 멈춤: 기울기가 0", going: "—", picture: "{name} 함수의 등고선과 {racers}의 경로",
    chart: "{racers}의 손실, {by}, {k}걸음째", summary: "{n}걸음 중 {k}. 손실이 가장 작은 것: {name}, {loss}.", empty: "경주하는 알고리즘이 없습니다. 아래에서 고르세요.",
    full: "한 번에 {n}개까지 경주합니다.",
    cards_note: "작은 그림은 무대와 같은 축척이며 화살표는 방향만 보여 줍니다. 실선: 다음 걸음, 점선: −기울기, 파선: 모멘텀. 타원은 각 방향으로 크기 1인 기울기가 얼마나 나아가게 하는지를 가장 긴 것에 맞추어 보여 " +
      "줍니다. 모멘텀과 모멘트는 다음 걸음에 쓰이는 값입니다.",
    rates_note: "학습률은 함수에 정해 둔 값이거나, 0.0001부터 10까지 16개 중 함수의 원래 출발점에서 평균 손실과 마지막 손실의 합이 가장 작은 값입니다(경로가 그림을 벗어나면 두 배로 칩니다. 하한이 없는 " +
      "함수에서는 아래쪽으로 그림을 벗어나는 가장 작은 값).",
    keys: "키: 스페이스는 재생과 멈춤, ← →는 한 걸음, Home과 End는 처음과 끝. 이 페이지의 주소에 경주가 담겨 있으니 복사해서 보여 줄 수 있습니다.",
    made: "경로는 minigrad의 갱신식을 JavaScript로 옮겨 이 페이지에서 계산합니다. 뉴턴 방법, L-BFGS, Barzilai-Borwein, 직선 탐색은 다시 썼습니다. 반올림이 결과를 가르지 않는 한 모든 경로가 minigrad와 같음을 " +
      "테스트로 확인합니다.",
    family_momentum: "경사 하강법과 모멘텀", family_adaptive: "적응형 학습률", family_adam: "Adam 계열", family_adam_variants: "Adam의 변형",
    family_sign: "부호", family_stepfree: "학습률 없음", family_second_order: "2차 방법", family_classical: "직선 탐색과 기울기법",
    "why bowl": "가로보다 세로가 스무 배 가파르다: 경사 하강법이 지그재그로 나아간다", "why saddle": "옆으로만 내리막이다: y = 0에서는 기울기가 벗어날 방향을 알려 주지 않는다",
    "why monkey-saddle": "안장점에서 곡률이 0이다: 뉴턴 방법조차 느리다", "why plateau": "바깥쪽은 거의 평평하다: 경사 하강법은 학습률이 아주 커야 움직인다",
    "why rosenbrock": "굽은 골짜기: 찾기는 쉬워도 따라가기는 느리다", "why beale": "골짜기는 평평하고 모서리는 가파르다",
    "why himmelblau": "최소점이 넷이고 값은 모두 0이다: 어디에 닿을지는 경로가 정한다", "why rastrigin": "정수점 근처마다 극소점이 있고, 가장 낮은 것은 원점에 있다",
    "why double-well": "가까운 우물이 더 얕다: 속도가 있어야 언덕을 넘는다", "why ill-conditioned": "조건수 100, 최급강하법이 가장 심하게 지그재그하는 출발점",
  },
});

const DASHES = ["", "9 4", "2 3", "9 3 2 3"], COLOURS = 7, SPEEDS = [1, 2, 5, 10, 20, 50];
const race = {f: null, start: null, steps: 0, racers: [], step: 0, speed: 5, timer: null};
const view = {width: 600, height: 400, levels: [], grid: null, parts: []};
const colourOf = i => `var(--c${i % COLOURS})`;
const dashOf = i => DASHES[(i + Math.floor(i / COLOURS)) % DASHES.length];
const label = racer => "lr" in racer.settings ? `${racer.name} ${shown(racer.settings.lr)}` : racer.name;
const names = () => race.racers.map(label).join(", ");
const pair = (p, digits = 4) => `(${shown(p[0], digits)}, ${shown(p[1], digits)})`;
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

// ---- shapes: colour, dashes and sign tell the racers apart ----
const disc = (x, y, r) => `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`;
const point = (x, y) => `${x.toFixed(2)},${y.toFixed(2)}`;
const polygon = corners => (x, y, r) => "M" + corners.map(([a, b]) => point(x + a * r, y + b * r)).join("L") + "Z";
const PLUS = [[-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1], [1, 3], [-1, 3], [-1, 1], [-3, 1], [-3, -1], [-1, -1]]
  .map(corner => scaled(corner, 1 / 2.4));
const SHAPES = [disc, ...[
  [[-1, -1], [1, -1], [1, 1], [-1, 1]], [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
  [[0, -1.25], [1.2, 1], [-1.2, 1]], [[0, 1.25], [1.2, -1], [-1.2, -1]], PLUS, PLUS.map(([a, b]) => scaled([a - b, a + b], Math.SQRT1_2)),
].map(polygon)];
const sign = (i, ...place) => SHAPES[(i + Math.floor(i / COLOURS)) % SHAPES.length](...place);
const star = polygon(Array.from({length: 10}, (_, i) => [i % 2 ? 0.42 : 1, Math.PI * (i / 5 - 0.5)])
  .map(([size, angle]) => [size * Math.cos(angle), size * Math.sin(angle)]));
function swatch(i) {
  return svg("svg", {class: "swatch", width: 34, height: 14, "aria-hidden": "true"},
    svg("path", {d: "M1,7H33", class: "path", stroke: colourOf(i), "stroke-dasharray": dashOf(i)}),
    svg("path", {d: sign(i, 17, 7, 4), fill: colourOf(i)}));
}
function arrow([x0, y0], [x1, y1], head = 7) {
  const length = Math.hypot(x1 - x0, y1 - y0), size = Math.min(head, length / 2);
  const [ux, uy] = [(x1 - x0) / length, (y1 - y0) / length];
  const barb = side => `${x1 - size * (ux + side * 0.6 * uy)},${y1 - size * (uy - side * 0.6 * ux)}`;
  return `M${x0},${y0}L${x1},${y1}M${barb(1)}L${x1},${y1}L${barb(-1)}`;
}

// ---- the stage: bands and contours of the function ----
const FAR_AWAY = 1e5;
const near = v => clamp(v, -FAR_AWAY, FAR_AWAY);
function onStage([x, y]) {
  const [[left, right], [bottom, high]] = race.f.window;
  return [near((x - left) / (right - left) * view.width), near((high - y) / (high - bottom) * view.height)];
}
function underPointer(event) {
  const box = $("paths").getBoundingClientRect(), [[left, right], [bottom, high]] = race.f.window;
  return [left + (event.clientX - box.left) / box.width * (right - left), high - (event.clientY - box.top) / box.height * (high - bottom)];
}
const scales = () => race.f.window.map(([low, high], i) => (i ? -view.height : view.width) / (high - low));
function ratio(f) {
  const [[left, right], [bottom, high]] = f.window, r = (right - left) / (high - bottom);
  return r >= 1 / 3 && r <= 3 ? r : 1.5;
}
function measure() {
  const width = Math.max(Math.round($("stage").clientWidth), 240);
  const height = Math.round(Math.min(width / ratio(race.f), Math.max(0.72 * window.innerHeight, 300), 1.05 * width));
  const same = view.width === width && view.height === height && view.f === race.f;
  Object.assign(view, {width, height, f: race.f});
  return !same;
}
function sample() {
  const {width, height} = view, f = race.f, [[left, right], [bottom, high]] = f.window, values = new Float64Array(width * height);
  for (let j = 0; j < height; j++) {
    const y = high - (high - bottom) * (j + 0.5) / height;
    for (let i = 0; i < width; i++) values[j * width + i] = f.value(left + (right - left) * (i + 0.5) / width, y);
  }
  view.grid = values;
  view.levels = levels(f, values);
}
const logarithmic = f => f.log && f.lowest !== -Infinity;
function levels(f, values) {
  const known = values.filter(Number.isFinite);
  const [low, high] = known.length ? known.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]) : [0, 1];
  if (logarithmic(f)) return [f.lowest, ...Array.from({length: 13}, (_, i) => f.lowest + (high - f.lowest) * 10 ** (-5 + 5 * i / 12))];
  const power = f.lowest === -Infinity ? 1 : 2;
  return Array.from({length: 15}, (_, i) => low + (high - low) * (i / 14) ** power);
}
const rgb = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
function shade() {
  const canvas = $("shades"), {width, height, levels: at, grid} = view;
  Object.assign(canvas, {width, height});
  const [low, high] = [rgb(colour("band-low")), rgb(colour("band-high"))], bands = at.length - 1;
  const tints = Array.from({length: bands}, (_, k) => low.map((v, c) => Math.round(v + (high[c] - v) * k / (bands - 1))));
  const picture = new ImageData(width, height);
  for (let i = 0; i < grid.length; i++) {
    if (Number.isNaN(grid[i])) continue;
    let k = 0;
    while (k < bands - 1 && grid[i] >= at[k + 1]) k++;
    picture.data.set([...tints[k], 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
// Marching squares over every second pixel; of each cell the sides that a level crosses.
function contours(cell = 2) {
  const {width, height, grid} = view, parts = [], above = v => Math.max(v - race.f.lowest, 1e-300);
  const bend = logarithmic(race.f) ? v => Math.log(above(v)) : v => v;
  const value = (i, j) => grid[Math.min(j, height - 1) * width + Math.min(i, width - 1)];
  for (let j = 0; j < height; j += cell) for (let i = 0; i < width; i += cell) {
    const corners = [[i, j], [i + cell, j], [i + cell, j + cell], [i, j + cell]], heights = corners.map(([a, b]) => value(a, b));
    const [least, most] = [Math.min(...heights), Math.max(...heights)];
    if (!Number.isFinite(least) || !Number.isFinite(most)) continue;
    for (const level of view.levels.slice(1, -1)) if (least < level && most >= level) parts.push(crossing(corners, heights, level, bend));
  }
  return parts.join("");
}
function crossing(corners, heights, level, bend) {
  const cuts = [];
  for (let k = 0; k < 4; k++) {
    const [a, b] = [heights[k], heights[(k + 1) % 4]], [p, q] = [corners[k], corners[(k + 1) % 4]];
    if ((a < level) === (b < level)) continue;
    const share = (bend(level) - bend(a)) / (bend(b) - bend(a));
    cuts.push(p.map((v, i) => (v + share * (q[i] - v) + 0.5).toFixed(1)));
  }
  return cuts.length === 4 ? `M${cuts[0]}L${cuts[1]}M${cuts[2]}L${cuts[3]}` : `M${cuts[0]}L${cuts[1]}`;
}
function ticks(low, high, about) {
  const rough = (high - low) / about, unit = 10 ** Math.floor(Math.log10(rough)), step = unit * [1, 2, 5, 10].find(k => k * unit >= rough);
  const marks = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * step; k++) marks.push(Number((k * step).toPrecision(12)));
  return marks;
}
const tickMark = (v, d, place) => [svg("path", {class: "contours", d}), svg("text", {class: "tick", ...place}, shown(v))];
function scene() {
  if (measure()) { sample(); view.lines = contours(); }
  shade();
  const {width, height} = view, [xs, ys] = race.f.window;
  $("paths").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const across = ticks(...xs, Math.max(4, width / 110)).map(v => [v, onStage([v, ys[0]])[0]]).filter(([, x]) => x > 14 && x < width - 14);
  const upward = ticks(...ys, Math.max(4, height / 80)).map(v => [v, onStage([xs[0], v])[1]]).filter(([, y]) => y > 14 && y < height - 24);
  view.parts = race.racers.map(racer => ({
    line: svg("polyline", {class: "path", stroke: colourOf(racer.look), "stroke-dasharray": dashOf(racer.look)}),
    marks: svg("path", {class: "marks", fill: colourOf(racer.look)}), head: svg("path", {class: "head", fill: colourOf(racer.look)}),
    halo: svg("path", {class: "halo"}), arrow: svg("path", {class: "arrow", stroke: colourOf(racer.look)}),
  }));
  fill($("paths"), svg("title", {id: "picture"}, say("picture", {name: race.f.name, racers: names()})),
    svg("path", {class: "contours", d: view.lines}),
    across.map(([v, x]) => tickMark(v, `M${x},${height}v-5`, {x, y: height - 8, "text-anchor": "middle"})),
    upward.map(([v, y]) => tickMark(v, `M0,${y}h5`, {x: 8, y: y + 4})),
    race.f.minima.map(p => svg("path", {class: "minimum", d: star(...onStage(p), 10)})),
    view.ring = svg("circle", {class: "ring", r: 7}),
    view.parts.map(p => [p.line, p.marks]), view.parts.map(p => [p.halo, p.arrow]), view.parts.map(p => p.head));
}
const every = run => Math.max(1, Math.ceil(run.points.length / 40));
const stepOf = run => Math.min(race.step, run.points.length - 1);
function nextStep(run, k) {
  const there = run.points[k + 1] || run.beyond[0];
  return there ? minus(there, run.points[k]) : null;
}
function drawPaths() {
  const [cx, cy] = onStage(race.start);
  Object.entries({cx, cy}).forEach(([name, v]) => view.ring.setAttribute(name, v));
  race.racers.forEach(({run, look: i}, n) => {
    const part = view.parts[n], k = stepOf(run), done = run.places.slice(0, k + 1), here = done[k], there = run.places[k + 1];
    part.line.setAttribute("points", done.map(p => p.map(v => v.toFixed(1))).join(" "));
    part.marks.setAttribute("d", done.filter((_, m) => m % every(run) === 0).map(p => sign(i, ...p, 2.4)).join(""));
    part.head.setAttribute("d", sign(i, ...here, 6));
    const long = there && Math.hypot(there[0] - here[0], there[1] - here[1]) > 9;
    for (const line of [part.halo, part.arrow]) line.setAttribute("d", long ? arrow(here, there) : "");
  });
}

// ---- curves ----
const FLOOR = 1e-16;
function chart(where, by, xs) {
  const runs = race.racers.map(racer => racer.run), at = scaleOf(where, runs, xs), clip = `${where.id}-clip`;
  const title = svg("title"), now = svg("path", {class: "now"});
  const heads = race.racers.map(({look: i}) => svg("path", {class: "head", fill: colourOf(i)}));
  where.setAttribute("viewBox", `0 0 ${at.width} ${at.height}`);
  const border = svg("rect", {x: at.left, y: 0, width: at.width - at.left, height: at.bottom + 3});
  fill(where, title, svg("clipPath", {id: clip}, border), gridOf(at), now,
    svg("g", {"clip-path": `url(#${clip})`}, race.racers.map(racer => curve(racer, at, xs)), heads));
  return () => {
    title.textContent = say("chart", {racers: names(), by: say(by), k: race.step});
    now.setAttribute("d", by === "by_step" ? `M${at.x(race.step)},${at.top}V${at.bottom}` : "");
    heads.forEach((head, n) => {
      const k = stepOf(runs[n]);
      head.setAttribute("d", sign(race.racers[n].look, at.x(runs[n][xs][k]), at.y(runs[n].gaps[k]), 4.5));
    });
  };
}
function scaleOf(where, runs, xs) {
  const width = Math.max(where.parentElement.clientWidth, 240), height = clamp((view.height - 60) / 2, 150, 250);
  const [left, right, top_, bottom] = [48, width - 10, 8, height - 22];
  const bounded = race.f.lowest !== -Infinity;
  const heightOf = gap => Number.isNaN(gap) ? Infinity : bounded ? Math.log10(Math.max(gap, FLOOR)) : gap;
  const most = Math.max(1, ...runs.map(run => run[xs].at(-1))), [low, high] = range(runs, bounded, heightOf);
  const y = gap => clamp(top_ + (bottom - top_) * (high - heightOf(gap)) / (high - low), -2000, 4000);
  return {width, height, left, right, top: top_, bottom, bounded, most, low, high, y, x: v => left + (right - left) * v / most};
}
function gridOf(at) {
  const across = ticks(0, at.most, Math.max(3, at.width / 90)).filter(Number.isInteger);
  const upward = ticks(at.low, at.high, at.bounded ? 5 : 7).filter(v => !at.bounded || Number.isInteger(v));
  return [
    across.map(v => svg("text", {x: at.x(v), y: at.height - 5, "text-anchor": "middle"}, shown(v))),
    upward.map(v => [v, at.y(at.bounded ? 10 ** v : v)]).map(([v, y]) => [
      svg("path", {class: "grid", d: `M${at.left},${y}H${at.right}`}),
      svg("text", {x: at.left - 6, y: y + 4, "text-anchor": "end"}, at.bounded ? power10(v) : shown(v))]),
  ];
}
function curve({run, look: i}, at, xs) {
  const points = run.gaps.map((gap, k) => `${at.x(run[xs][k]).toFixed(1)},${at.y(gap).toFixed(1)}`).join(" ");
  return svg("polyline", {class: "path", stroke: colourOf(i), "stroke-dasharray": dashOf(i), "stroke-opacity": 0.85, points});
}
function range(runs, bounded, heightOf) {
  if (!bounded) {
    const [low, high] = [view.levels[0], view.levels.at(-1)];
    return [low - 0.05 * (high - low), high + 0.05 * (high - low)];
  }
  const all = runs.flatMap(run => run.gaps).map(heightOf).filter(Number.isFinite), first = all[0] ?? 0;
  const [low, high] = all.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [first - 1, first]);
  return [low - 0.2, Math.min(high, first + Math.log10(30)) + 0.2];
}
const power10 = v => ["10", svg("tspan", {dy: -4, "font-size": 8}, shown(v))];

// ---- standings ----
function happened(run) {
  const k = stepOf(run);
  if (isOver(run)) return say(run.ended, {k: run.points.length});
  if (!inside(race.f, run.points[k])) return say("outside");
  if (run.gaps[k] < 1e-12 && race.f.lowest !== -Infinity) return say("arrived");
  const {gradient, hessian} = run.looks[k], [most, least] = eigenvalues(hessian);
  if (largest(gradient) === 0) return say(least < 0 && most > 0 ? "saddle" : "still");
  if (nextStep(run, k)?.every(v => v === 0)) return say("rests");
  const out = run.points.slice(0, k + 1).findIndex(p => !inside(race.f, p));
  return out < 0 ? say("going") : say("was_outside", {k: out});
}
const isOver = run => Boolean(run.ended) && race.step >= run.points.length;
const tableRow = (data, first, cells) => el("tr", {role: "row", ...data}, first, cells.filter(Boolean));
const cell = (text, at) => text && el("td", {role: "cell", class: at}, text);
function standing(racer, offset) {
  const {run} = racer, k = stepOf(run), said = happened(run);
  const numbers = [shown(run.losses[k]), offset && shown(run.gaps[k]), ...run.points[k].map(v => shown(v, 6)),
    shown(isOver(run) ? run.gradients : run.evaluations[k])];
  return tableRow({"data-name": racer.name}, el("th", {scope: "row", role: "rowheader"}, swatch(racer.look), label(racer)),
    [...numbers.map(text => cell(text)), cell(said, said === say("going") ? "nothing" : "")]);
}
function standings() {
  const offset = Number.isFinite(race.f.lowest) && race.f.lowest !== 0;
  $("standings-title").textContent = say("standings_title", {k: race.step});
  const heads = [say("optimizer"), say("loss"), offset && say("gap"), "x", "y", say("gradients"), say("said")].filter(Boolean);
  const rows = race.racers.map(racer => standing(racer, offset));
  $("standings").style.setProperty("--numbers", heads.length - 2);
  fill($("standings"),
    el("thead", {role: "rowgroup"}, tableRow({}, null, heads.map(text => el("th", {scope: "col", role: "columnheader"}, text)))),
    el("tbody", {role: "rowgroup"}, rows.length ? rows : tableRow({}, el("td", {role: "cell", colspan: heads.length}, say("empty")), [])));
}

// ---- one card for each ----
function card(racer) {
  const kind = OPTIMIZERS[racer.name], rate = rateRow(racer), said = el("p", {class: "said"});
  const [now, state] = [el("tbody"), el("tbody")];
  const compass = svg("svg", {class: "compass", viewBox: "-62 -62 124 124", "aria-hidden": "true"});
  const axes = el("tr", {}, ["", "x", "y"].map(text => el("th", {scope: "col"}, text)));
  const node = el("article", {class: "card", "data-name": racer.name}, cardHead(racer, kind),
    el("p", {class: "about soft small", lang: "en"}, kind.about), rate.node,
    el("div", {class: "now-here"}, compass, el("table", {}, el("thead", {}, axes), now)), said,
    folded(racer, "state", `${say("state")} (${say("before")})`, el("table", {}, state)),
    folded(racer, "text", say("formula"), el("p", {class: "soft small"}, say("translated")),
      program(kind.text), el("p", {class: "soft small"}, say("javascript")), program(String(kind.twin ? TWINS[racer.name] : kind.update))));
  const refresh = () => { rate.refresh(); node.setAttribute("aria-label", label(racer)); };
  return {node, refresh, compass, now, said, state};
}
const program = text => el("pre", {tabindex: 0, lang: "en"}, el("code", {}, text));
function cardHead(racer, kind) {
  const more = say("add_label", {name: racer.name}), away = say("remove", {name: racer.name});
  return el("header", {}, swatch(racer.look), el("h3", {}, racer.name),
    kind.rate && el("button", {type: "button", class: "more", "aria-label": more, onclick: () => another(racer)}, "+ " + say("add")),
    el("button", {type: "button", class: "remove", "aria-label": away, title: away, onclick: () => remove(racer)}, "✕"));
}
function folded(racer, name, title, ...inside) {
  const open = racer.open.has(name), note = event => racer.open[event.target.open ? "add" : "delete"](name);
  return el("details", {open, ontoggle: note}, el("summary", {}, title), inside);
}
function rateRow(racer) {
  if (!("lr" in racer.settings)) return {node: el("p", {class: "rate soft small"}, say("none")), refresh() {}};
  const exact = el("input", {type: "number", min: 0, step: "any", "aria-label": say("rate_of", {name: racer.name}),
    onchange: () => setRate(racer, Number(exact.value))});
  const slider = el("input", {type: "range", min: 0, max: RATES.length - 1, step: 1, "aria-label": say("slider_of", {name: racer.name}),
    oninput: () => setRate(racer, RATES[slider.value])});
  const known = el("span", {class: "known soft small"});
  function refresh() {
    const {lr} = racer.settings, away = rate => Math.abs(Math.log(rate / lr));
    exact.value = lr;
    slider.value = RATES.reduce((best, rate, i) => away(rate) < away(RATES[best]) ? i : best, 0);
    slider.setAttribute("aria-valuetext", lr);
    known.textContent = say(racer.known);
  }
  return {node: el("div", {class: "rate"}, el("span", {}, say("rate")), slider, exact, known), refresh};
}
function momentumOf(kind, state) {
  if (!kind.momentum) return state.d && state.beta ? {name: "d", value: state.d, step: state.d} : null;
  const [name, direction] = kind.momentum;
  return {name, value: state[name], step: scaled(state[name], direction)};
}
// What a unit of the gradient, or of its average, is worth in each coordinate; or the matrix that it is multiplied by.
function worth(kind, group, state, here, next) {
  if (state.matrix) return {matrix: state.matrix};
  if (kind.twin) return next && Number.isFinite(state.a) && !state.beta ? diagonal([state.a, state.a]) : null;
  const [name, direction] = kind.momentum || ["g", -1];
  if (direction === 1) return diagonal([group.lr, group.lr], "g");
  const by = kind.momentum ? state[name] : here.gradient;
  return next && [...by, ...next].every(v => v !== 0) ? diagonal(next.map((v, i) => -v / by[i]), name) : null;
}
const diagonal = (rates, name = "g") => ({rates, name, matrix: [[rates[0], 0], [0, rates[1]]]});
function ellipse(matrix, [sx, sy]) {
  const round = Array.from({length: 64}, (_, i) => [Math.cos(Math.PI * i / 32), Math.sin(Math.PI * i / 32)]);
  const rim = round.map(unit => times(matrix, unit)).map(([x, y]) => [sx * x, sy * y]), size = Math.max(...rim.map(p => Math.hypot(...p)));
  return size > 0 && Number.isFinite(size) ? "M" + rim.map(p => p.map(v => (54 * v / size).toFixed(1))).join("L") + "Z" : "";
}
function needle(v, scale, length) {
  const p = v.map((c, i) => c * scale[i]), size = Math.hypot(...p);
  return size > 0 && Number.isFinite(size) ? arrow([0, 0], p.map(c => length * c / size)) : "";
}
function key(name, i) {
  const stroke = name === "arrow" ? colourOf(i) : null;
  return svg("svg", {width: 16, height: 8, "aria-hidden": "true", class: "key"}, svg("path", {class: name, d: "M0,4H16", stroke}));
}
function update(racer, parts) {
  const {run, look: i} = racer, kind = OPTIMIZERS[racer.name], k = stepOf(run), here = run.looks[k], next = nextStep(run, k);
  const state = run.states[Math.min(k + 1, run.states.length - 1)], momentum = momentumOf(kind, state), scale = scales();
  const rates = worth(kind, groupOf(kind, racer.settings), state, here, next);
  fill(parts.compass, svg("path", {class: "axis", d: "M-58,0H58M0,-58V58"}),
    rates && svg("path", {class: "ellipse", d: ellipse(rates.matrix, scale), fill: colourOf(i), stroke: colourOf(i)}),
    svg("path", {class: "gradient", d: needle(scaled(here.gradient, -1), scale, 54)}),
    momentum && svg("path", {class: "momentum", d: needle(momentum.step, scale, 48)}),
    next && svg("path", {class: "arrow", d: needle(next, scale, 40), stroke: colourOf(i)}));
  const row = (mark, text, values, title) => el("tr", title ? {title} : {}, el("th", {scope: "row"}, text, " ", mark),
    values.map(v => el("td", {colspan: values.length === 1 ? 2 : null}, typeof v === "string" ? v : shown(v, 3))));
  fill(parts.now, row(null, say("loss"), [run.losses[k]]), row(null, say("at"), run.points[k]),
    row(key("gradient"), say("gradient"), scaled(here.gradient, -1)),
    momentum && row(key("momentum"), say("momentum", {name: momentum.name}), momentum.value),
    (kind.squares || []).map(name => row(null, say("squares", {name}), state[name])),
    row(key("arrow", i), say("next"), next || [say("no_step")]),
    rates?.rates && row(null, say("effective"), rates.rates, say("effective_of", {name: rates.name})));
  parts.refresh();
  parts.said.textContent = happened(run) === say("going") ? "" : happened(run);
  fill(parts.state, Object.entries(state).filter(([, v]) => v !== null && v !== undefined).map(([name, v]) => stateRow(kind, name, v)));
}
function stateRow(kind, name, value) {
  const role = kind.momentum?.[0] === name ? say("is_momentum") : kind.squares?.includes(name) ? say("square") : "";
  const title = name === "matrix" ? MATRICES[kind.name] : name;
  const cells = Array.isArray(value) ? value.map(v => Array.isArray(v) ? pair(v) : shown(v, 6)) : [shown(value, 6), ""];
  return el("tr", {"data-state": name}, el("th", {scope: "row"}, title, role && el("span", {class: "soft"}, ` ${role}`)),
    cells.map(text => el("td", {}, text)));
}
const MATRICES = {Newton: "H⁻¹", LBFGS: "a H"};
function families() {
  const groups = new Map();
  for (const [name, kind] of Object.entries(OPTIMIZERS)) groups.set(kind.family, [...(groups.get(kind.family) || []), name]);
  const box = name => el("input", {type: "checkbox", value: name, onchange: event => toggle(name, event.target.checked)});
  fill($("families"), [...groups].map(([family, members]) => el("fieldset", {}, el("legend", {}, say(`family_${family}`)),
    members.map(name => el("label", {}, box(name), name)))));
}

function entered() {
  for (const box of $("families").querySelectorAll("input")) box.checked = race.racers.some(r => r.name === box.value);
}

// ---- what can be changed ----
function prepare(racer) {
  const run = descend(race.f, racer.name, racer.settings, race.start, race.steps + 1), shown = race.steps + 1;
  run.beyond = run.points.slice(shown);
  for (const name of ["points", "evaluations", "losses", "gaps"]) run[name] = run[name].slice(0, shown);
  run.looks = run.points.map(p => look(race.f, p));
  run.steps = run.points.map((_, k) => k);
  racer.run = run;
}
function newRacer(name, lr) {
  const settings = tuned(race.f, name), own = race.f.settings[name.toLowerCase()];
  if (lr !== undefined && OPTIMIZERS[name].rate) settings.lr = lr;
  else if (OPTIMIZERS[name].rate && !("lr" in settings)) settings.lr = OPTIMIZERS[name].group.lr;
  const taken = race.racers.map(r => r.look), free = Array.from({length: LOOKS}, (_, i) => i).find(i => !taken.includes(i));
  return {name, settings, known: lr !== undefined ? "chosen" : own ? "own" : "tuned", look: free, open: new Set()};
}
function enter(name, lr) {
  if (race.racers.length >= LOOKS) { $("status").textContent = say("full", {n: LOOKS}); return; }
  race.racers.push(newRacer(name, lr));
}
function toggle(name, on) {
  if (on) enter(name);
  else race.racers = race.racers.filter(r => r.name !== name);
  rerun(true);
}
function remove(racer) {
  race.racers = race.racers.filter(r => r !== racer);
  rerun(true);
  ($("cards").querySelector(".remove") || $("choose").querySelector("summary")).focus();
}
function another(racer) {
  const slower = RATES.filter(rate => rate < racer.settings.lr * 0.999);
  enter(racer.name, slower.at(-2) ?? RATES[RATES.length - 1]);
  rerun(true);
  $("cards").lastElementChild.querySelector("input[type=range]").focus();
}
function setRate(racer, lr) {
  if (lr > 0 && Number.isFinite(lr)) Object.assign(racer, {settings: {...racer.settings, lr}, known: "chosen"});
  rerun(false);
}
function setStart(start) {
  if (!start.every(v => Math.abs(v) < FAR)) { inputs(); return; }
  race.start = start;
  rerun(false);
}
const tidy = (v, i) => Number((race.f.window[i][1] - race.f.window[i][0] > 1 ? v.toFixed(3) : v.toPrecision(4)));
function setSteps(n) {
  if (!(n >= 1)) { inputs(); return; }
  race.steps = Math.min(Math.round(n), MOST_STEPS);
  race.step = Math.min(race.step, race.steps);
  rerun(false);
}
function setFunction(name, {start, steps, racers} = {}) {
  const rivals = racers || [...new Set(race.racers.map(r => r.name))].map(rival => [rival]);  // each with the rate for it
  race.f = FUNCTIONS[name];
  Object.assign(race, {start: start || [...race.f.start], steps: steps || race.f.steps, racers: [], step: 0});
  race.speed = SPEEDS.reduce((best, s) => Math.abs(s - race.steps / 8) < Math.abs(best - race.steps / 8) ? s : best);
  rivals.forEach(([rival, lr]) => enter(rival, lr));
  rerun(true);
}
function inputs() {
  $("function").value = race.f.name;
  [$("start-x").value, $("start-y").value] = race.start;
  $("steps").value = race.steps;
  $("speed").value = race.speed;
  Object.assign($("scrubber"), {max: race.steps, value: race.step});
}
// Everything anew: paths, pictures, and, where racers changed, their cards.
function rerun(changed) {
  race.racers.forEach(prepare);
  if (changed) { fill($("cards"), (race.cards = race.racers.map(card)).map(c => c.node)); entered(); }
  redraw();
}
function redraw() {
  document.title = `minigrad: ${say("heading")}`;
  $("formula").textContent = race.f.formula;
  const why = say(`why ${race.f.name}`);
  $("why").textContent = why.startsWith("why ") ? race.f.why : why;
  const plain = race.f.lowest === 0 || race.f.lowest === -Infinity;
  $("curves-title").textContent = plain ? say("curves_title") : say("curves_above", {low: shown(race.f.lowest)});
  $("stage").setAttribute("aria-label", say("picture", {name: race.f.name, racers: names()}));
  inputs();
  scene();
  race.racers.forEach(({run}) => { run.places = [...run.points, ...run.beyond].map(onStage); });
  race.curves = [chart($("by-step"), "by_step", "steps"), chart($("by-gradient"), "by_gradient", "evaluations")];
  show(race.step);
}
function show(k) {
  race.step = clamp(k, 0, race.steps);
  $("scrubber").value = race.step;
  $("step").textContent = say("step", {k: race.step, n: race.steps});
  $("scrubber").setAttribute("aria-valuetext", $("step").textContent);
  $("play").textContent = say(race.timer ? "pause" : "play");
  $("back").disabled = $("first").disabled = race.step === 0;
  $("forward").disabled = $("last").disabled = race.step === race.steps;
  drawPaths();
  race.curves.forEach(draw => draw());
  standings();
  race.racers.forEach((racer, n) => update(racer, race.cards[n]));
  keep();
}
function tell() {
  if (!race.racers.length) return;
  const loss = racer => racer.run.losses[stepOf(racer.run)], best = race.racers.reduce((a, b) => loss(b) < loss(a) ? b : a);
  $("status").textContent = say("summary", {k: race.step, n: race.steps, name: label(best), loss: shown(loss(best))});
}

// ---- time ----
function pause() {
  clearInterval(race.timer);
  race.timer = null;
}
function play() {
  if (race.timer) { pause(); show(race.step); tell(); return; }
  if (race.step === race.steps) race.step = 0;
  race.timer = setInterval(tick, 1000 / race.speed);
  show(race.step);
}
function tick() {
  if (race.step + 1 >= race.steps) pause();
  show(race.step + 1);
  if (!race.timer) tell();
}
function go(k) {
  pause();
  show(k);
  tell();
}

// ---- the address keeps the race ----
function keep() {
  if (race.timer) return;
  const racers = race.racers.map(r => r.known === "chosen" ? `${r.name}:${r.settings.lr}` : r.name).join(",");
  const {f, start, steps, step} = race;
  const address = `#function=${encodeURIComponent(f.name)}&start=${start.join(",")}&steps=${steps}&race=${racers}&step=${step}`;
  race.address = address;
  try { history.replaceState(null, "", address); } catch { /* a frame may not */ }
}
// What an address says, as far as it can be meant: {name, start, steps, step, racers}.
function parsed(address) {
  const given = new URLSearchParams(address), name = given.get("function"), race = given.get("race");
  const start = (given.get("start") || "").split(",").filter(Boolean).map(Number);
  const steps = Number(given.get("steps")), step = Number(given.get("step"));
  const known = new Map(Object.keys(OPTIMIZERS).map(rival => [rival.toLowerCase(), rival]));
  const rate = lr => lr > 0 && Number.isFinite(lr) ? lr : undefined;
  return {
    name: name !== null && Object.hasOwn(FUNCTIONS, name) ? name : undefined, step: step >= 0 ? Math.round(step) : 0,
    start: start.length === 2 && start.every(v => Math.abs(v) < FAR) ? start : undefined,
    steps: steps >= 1 ? Math.min(Math.round(steps), MOST_STEPS) : undefined,
    racers: race?.split(",").map(text => text.split(":"))
      .map(([rival, lr]) => [known.get(rival.toLowerCase().replace(/[-_ ]/g, "")), rate(Number(lr))]).filter(([rival]) => rival),
  };
}
function addressed() {
  const given = parsed(location.hash.slice(1));
  return given.name || given.racers ? given : null;
}
function load(given) {
  const begin = parsed(DATA.begin);
  pause();
  setFunction(given.name || begin.name, {...given, racers: given.racers || begin.racers});
  show(given.step);
}

// ---- keys, pointers, controls ----
function moveStart(event) {
  const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
  if (!way) return;
  event.preventDefault();
  event.stopPropagation();
  const share = event.shiftKey ? 1 / 400 : 1 / 40;
  setStart(race.start.map((v, i) => tidy(v + way[i] * share * (race.f.window[i][1] - race.f.window[i][0]), i)));
}
const ACTIONS = {first: () => go(0), back: () => go(race.step - 1), play, forward: () => go(race.step + 1), last: () => go(race.steps)};
function onKey(event) {
  const on = event.target, typed = on.matches("input:not([type=range]):not([type=checkbox]), select, pre");
  if (event.altKey || event.ctrlKey || event.metaKey || typed) return;
  const action = ACTIONS[{ArrowLeft: "back", ArrowRight: "forward", Home: "first", End: "last", " ": "play"}[event.key]];
  const theirs = event.key === " " ? on.matches("button, summary, a, input[type=checkbox]") : on.matches("input[type=range]");
  if (!action || theirs) return;
  event.preventDefault();
  action();
}
const typedNumber = id => $(id).value.trim() === "" ? NaN : Number($(id).value);
function readdressed() {
  const given = location.hash === race.address ? null : addressed();
  if (given) load(given);
}
function connect() {
  fill($("function"), Object.keys(FUNCTIONS).map(name => el("option", {value: name}, name)));
  fill($("speed"), SPEEDS.map(s => el("option", {value: s}, String(s))));
  $("function").addEventListener("change", event => { pause(); setFunction(event.target.value); });
  $("speed").addEventListener("change", event => { race.speed = Number(event.target.value); if (race.timer) { pause(); play(); } });
  $("scrubber").addEventListener("input", event => go(Number(event.target.value)));
  for (const [id, action] of Object.entries(ACTIONS)) $(id).addEventListener("click", action);
  $("stage").addEventListener("click", event => setStart(underPointer(event).map(tidy)));
  $("stage").addEventListener("keydown", moveStart);
  for (const id of ["start-x", "start-y"]) $(id).addEventListener("change", () => setStart(["start-x", "start-y"].map(typedNumber)));
  $("steps").addEventListener("change", event => setSteps(Number(event.target.value)));
  $("starts").addEventListener("submit", event => event.preventDefault());
  $("reset").addEventListener("click", () => { race.steps = race.f.steps; setStart([...race.f.start]); });
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", readdressed);
  let waiting = null;
  const resized = () => { if ($("stage").clientWidth !== view.width) redraw(); };
  new ResizeObserver(() => { clearTimeout(waiting); waiting = setTimeout(resized, 80); }).observe($("stage"));
}
connect();
const opening = addressed();
load(opening || parsed(DATA.begin));
switches($("switches"), () => { families(); rerun(true); });
if (!opening && !matchMedia("(prefers-reduced-motion: reduce)").matches) play();
else if (!opening) show(race.steps);

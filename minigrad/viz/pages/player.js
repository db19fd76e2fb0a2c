texts({
  en: {
    heading: "minigrad: the backward player", gallery: "minigrad: broken backprop, and what it does", run: "Run", pair: "Broken or right",
    broken: "Broken", right: "Right", quiz: "Quiz", keys: "Keys and signs", scene: "The graph", show: "Show", graph: "Graph",
    steps: "Steps", steps_label: "All steps; choose one with the up and down keys", modules: "modules",
    modules_label: "Open and close modules", fewer: "Close a level of modules (m)", more: "Open a level of modules (M)", zoom: "Size",
    smaller: "Smaller", larger: "Larger", fit: "Fit", fit_label: "Show the whole graph", detail_label: "This step", transport: "Walk",
    first: "To the start (Home)", back: "A step back (left arrow)", next: "A step on (right arrow)", last: "To the end (End)",
    play: "▶ Play", pause: "❚❚ Pause", scrubber: "Step", speed: "Speed", slow: "slow", normal: "normal", fast: "fast", forward: "Forward",
    backward: "Backward", start: "Start", end: "All gradients", at_start: "Start: nothing is computed yet",
    at_forward: "forward {k} of {n}: {what}", at_backward: "backward {k} of {n}: {what}", at_end: "End: all gradients",
    constant: "constant", leaf: "a leaf that wants a gradient", unnamed: "leaf",
    graph_label: "Graph of {n} values, {open} of {all} modules open. {now}",
    start_title: "Forward to the loss, then back by the chain rule",
    start_text: "This page plays the {n} operations that were recorded. On the way forward each operation computes its value from its " +
      "inputs. On the way back each receives one gradient g, multiplies it by its local derivatives, and sends a message to every " +
      "input. Where messages meet, they are added.",
    start_how: "Press → to walk a step, or drag the slider. Click a box to go to it, ? for all keys.", legend: "What the boxes say",
    legend_away: "not yet computed", legend_known: "computed on the way forward", legend_visited: "its gradient g is complete",
    legend_part: "1 of 2 messages has arrived: it has to wait", legend_now: "where we are (dashed: on the way back)",
    legend_constant: "a constant: no gradient goes there", legend_call: "a closed module: click to open", inputs: "Inputs",
    output: "Output", input: "input {i}", in_module: "in", opens: "Open or close {name} in the graph", source: "Your line",
    source_at: "{file}, line {line}, in {function}", code: "The code", arrives: "1 · What arrives",
    seed: "the beginning: ∂{name}/∂{name} = 1", seed_given: "the beginning: the gradient that was given",
    from: "from {name}, its input {i}", before: "left from the step before (no zero_grad)",
    lost: "lost: it came too late, or was overwritten", single: "One message, so this is the gradient.",
    sum: "The value is used {n} times, so its gradient is the sum of {n} messages.", sum_before: "Added to what was there already.",
    hooked: "A hook changed it on the way: g is what the hook returned.", should: "Wrong. It should be:", wrong_sign: "≠ wrong",
    leaf_end: "Here the way ends: this is {name}.grad.",
    conjugate: "Complex values: on the way the conjugate of .grad is carried. In .grad stands:", goes: "2 · What it sends on",
    goes_none: "Nothing is sent on: no input wants a gradient.", to: "to {name}", rule: "rule", table: "derivative table, {file}:{line}",
    numbers: "with numbers", message: "message", chain_words: "upstream × local ∂{y}/∂{x}", means: "where", g_is: "what arrived",
    y_is: "this output", function_source: "The rule is a function of several lines",
    no_source: "{name}: a function whose source is not at hand",
    departs: "This is not the table's rule, which is {rule}",
    misfit: "The gradient has shape {got}, its value has shape {wanted}: broadcasting was not undone.", broadcast: "un-broadcast",
    summed: "shape {raw} summed over {axes}, because {name} of shape {shape} was repeated {n} times on the way forward → {sent}",
    dropped: "shape {raw} → {sent}: {axes} of length 1, which broadcasting had given {name}, taken off again",
    axis: "axis {n}", axes: "axes {n}", jacobian: "local Jacobian",
    jacobian_shape: "A row for each entry of the output ({rows}), a column for each of this input ({columns}). The message is g, as one " +
      "row, times this matrix.",
    diagonal: "Only the diagonal is not 0: each output entry depends on one input entry, so a product entry by entry does it.",
    jacobian_never: "would have {rows} × {columns} = {entries} entries, {bytes}. It is never built: the rule needs only g and the values.",
    check: "3 · Another opinion: finite differences", check_leaf: "2 · Another opinion: finite differences",
    check_text: "Every entry was moved a little to both sides, and the forward pass computed again.",
    check_along: "The value was moved as a whole along one random direction, and the forward pass computed again: one slope to compare.",
    numeric: "finite differences", by_backward: "backward", error: "relative error", agrees: "✓ agree", differs: "✗ differ",
    kink: "a kink here", kink_why: "The slopes to the left and to the right differ, so there is no derivative to compare with.",
    no_number: "no number to compare", end_title: "All gradients", end_text: "What backward leaves in .grad of each leaf.", value: "value",
    shape: "shape", gradient: "gradient", difference: "finite differences", should_be: "should be", none: "None: nothing arrived",
    looking: "Looking at {name}", close: "Close", go_visit: "Where its gradient is complete",
    picture: "{shape}, from {min} to {max}, mean {mean}", shown_of: "{n} of {all} shown",
    means_blocks: "a pixel is the mean of several entries", slice: "[{i}, ·, ·]", scaled: "all × {factor}", no_value: "not kept",
    min: "min", max: "max", mean: "mean", std: "std", norm: "norm", zeros: "zeros", nan: "NaN", inf: "±∞", empty: "empty",
    cell_of: "numbers of shape {shape}", quiz_title: "Quiz: what goes on from here?", quiz_score: "{right} right of {asked}",
    quiz_number: "{g} arrives at {op}. What does it send to {name}?",
    quiz_entry: "What is the marked entry {entry} of the message to {name}?",
    quiz_shape: "Which shape has the gradient that goes to {name}?", quiz_rule: "Which rule makes the message to {name}?",
    quiz_inputs: "The inputs of {op}:", hint: "Hint", reveal: "Show me", check_answer: "Check", your_answer: "Your answer",
    is_right: "Right: {answer}.", is_wrong: "Not yet. Try again, or take the hint.", unreadable: "Not a number: try −0.5, 1/3 or 1e-3.",
    unreadable_shape: "Not a shape: try 4, 2", revealed: "It is {answer}.", go_on: "On →",
    quiz_hidden: "Messages are hidden until you answer. You may also just walk on.", hint_shape: "A gradient has the shape of its value.",
    hint_rule: "The operation is {op}: think of its derivative.", quiz_away: "The quiz asks on the way back.",
    key_steps: "a step back or on", key_ends: "to the start, to the end", key_turn: "to the turn, to the end of the way forward or back",
    key_play: "play or pause", key_modules: "close a level of modules, open one", key_quiz: "quiz on or off",
    key_zoom: "in the graph: larger, smaller, whole", key_list: "in the list of steps: choose", key_help: "this help", signs: "Signs",
    learning: "Learning XOR with this backward pass", loss: "loss", with_fault: "with the fault", without: "without", step_n: "step",
    curves_label: "Loss over {n} steps: with the fault it ends at {wrong}, without at {right}", partly: "{k}/{n} arrived",
  },
  ko: {
    heading: "minigrad: 역전파 플레이어", gallery: "minigrad: 고장 난 역전파, 그리고 그 결과", run: "실행", pair: "잘못된 것과 올바른 것", broken: "잘못된 것",
    right: "올바른 것", quiz: "퀴즈", keys: "키와 기호", scene: "그래프", show: "보기", graph: "그래프", steps: "단계", steps_label: "모든 단계. 위아래 화살표 키로 고릅니다",
    modules: "모듈", modules_label: "모듈 열고 닫기", fewer: "모듈을 한 층 닫기 (m)", more: "모듈을 한 층 열기 (M)", zoom: "크기", smaller: "작게", larger: "크게",
    fit: "전체", fit_label: "그래프 전체 보기", detail_label: "이번 단계", transport: "단계 이동", first: "처음으로 (Home)", back: "한 단계 뒤로 (왼쪽 화살표)",
    next: "한 단계 앞으로 (오른쪽 화살표)", last: "끝으로 (End)", play: "▶ 재생", pause: "❚❚ 멈춤", scrubber: "단계", speed: "속도", slow: "느리게", normal: "보통",
    fast: "빠르게", forward: "순전파", backward: "역전파", start: "시작", end: "모든 기울기", at_start: "시작: 아직 아무것도 계산하지 않음",
    at_forward: "순전파 {n}단계 중 {k}: {what}", at_backward: "역전파 {n}단계 중 {k}: {what}", at_end: "끝: 모든 기울기", constant: "상수", leaf: "기울기를 구하려는 잎",
    unnamed: "잎", graph_label: "값 {n}개의 그래프, 모듈 {all}개 중 {open}개 열림. {now}", start_title: "손실까지 앞으로, 연쇄 법칙을 따라 뒤로",
    start_text: "기록된 연산 {n}개를 한 단계씩 보여 줍니다. 순전파에서는 연산마다 입력으로부터 값을 계산합니다. 역전파에서는 연산마다 기울기 g 하나를 받아 국소 도함수를 곱하고 입력마다 메시지를 " +
      "보냅니다. 메시지가 여러 개 모이면 더합니다.", start_how: "→를 누르면 한 단계 나아갑니다. 슬라이더를 끌어도 되고, 상자를 누르면 그 단계로 갑니다. 모든 키는 ?로 볼 수 있습니다.", legend: "상자 읽는 법",
    legend_away: "아직 계산하지 않음", legend_known: "순전파에서 계산함", legend_visited: "기울기 g가 완성됨", legend_part: "메시지 2개 중 1개만 도착: 기다려야 함",
    legend_now: "지금 있는 곳 (점선: 역전파 중)", legend_constant: "상수: 기울기가 가지 않음", legend_call: "닫힌 모듈: 누르면 열림", inputs: "입력", output: "출력",
    input: "입력 {i}", in_module: "모듈", opens: "그래프에서 {name} 열기 또는 닫기", source: "여러분의 코드", source_at: "{file} {line}행, {function}",
    code: "코드", arrives: "1 · 도착하는 것", seed: "출발점: ∂{name}/∂{name} = 1", seed_given: "출발점: 주어진 기울기", from: "{name}의 입력 {i}에서",
    before: "앞 단계에서 남은 값 (zero_grad를 하지 않음)", lost: "사라짐: 너무 늦게 왔거나 덮어써짐", single: "메시지가 하나뿐이므로 이것이 기울기입니다.",
    sum: "이 값은 {n}번 쓰이므로 기울기는 메시지 {n}개의 합입니다.", sum_before: "이미 있던 값에 더해집니다.", hooked: "도중에 훅이 값을 바꾸었습니다. g는 훅이 돌려준 값입니다.",
    should: "틀렸습니다. 올바른 값:", wrong_sign: "≠ 틀림", leaf_end: "여기서 길이 끝납니다. 이 값이 {name}.grad입니다.",
    conjugate: "복소수: 도중에는 .grad의 켤레를 나릅니다. .grad에 들어가는 값:", goes: "2 · 보내는 것", goes_none: "보내는 것이 없습니다. 기울기가 필요한 입력이 없습니다.",
    to: "{name}(으)로", rule: "규칙", table: "도함수 표, {file}:{line}", numbers: "수를 넣으면", message: "메시지",
    chain_words: "도착한 기울기 × 국소 도함수 ∂{y}/∂{x}", means: "여기서", g_is: "도착한 것", y_is: "이 연산의 출력", function_source: "규칙이 여러 줄짜리 함수입니다",
    no_source: "{name}: 소스를 찾을 수 없는 함수입니다",
    departs: "도함수 표의 규칙이 아닙니다. 표의 규칙은 {rule}", misfit: "기울기의 형상은 {got}인데 값의 형상은 {wanted}입니다. 브로드캐스팅을 되돌리지 않았습니다.",
    broadcast: "브로드캐스팅 되돌리기", summed: "{raw} 형상을 {axes} 방향으로 합칩니다. 순전파에서 {shape} 형상인 {name} 값이 {n}번 반복되었기 때문입니다 → {sent}",
    dropped: "{raw} → {sent}: 브로드캐스팅으로 {name}에 생긴 길이 1의 {axes} 방향을 다시 없앱니다", axis: "축 {n}",
    axes: "축 {n}", jacobian: "국소 야코비 행렬",
    jacobian_shape: "행은 출력의 원소 {rows}개, 열은 이 입력의 원소 {columns}개에 해당합니다. 메시지는 g를 한 행으로 펴서 이 행렬을 곱한 것입니다.",
    diagonal: "대각선만 0이 아닙니다. 출력의 원소가 입력의 원소 하나에만 달려 있으므로 원소끼리 곱하면 됩니다.",
    jacobian_never: "원소가 {rows} × {columns} = {entries}개, {bytes}나 됩니다. 이 행렬은 결코 만들지 않습니다. 규칙에는 g와 값들만 있으면 됩니다.",
    check: "3 · 다른 방법으로 확인: 수치 미분", check_leaf: "2 · 다른 방법으로 확인: 수치 미분", check_text: "원소를 하나씩 양쪽으로 조금 움직이고 순전파를 다시 계산했습니다.",
    check_along: "값 전체를 무작위 방향 하나를 따라 움직이고 순전파를 다시 계산했습니다. 비교할 기울기는 하나입니다.", numeric: "수치 미분", by_backward: "역전파", error: "상대 오차",
    agrees: "✓ 일치", differs: "✗ 다름", kink: "꺾인 점", kink_why: "왼쪽과 오른쪽의 기울기가 달라 비교할 도함수가 없습니다.", no_number: "비교할 수가 없음",
    end_title: "모든 기울기", end_text: "역전파가 끝난 뒤 각 잎의 .grad에 남는 값입니다.", value: "값", shape: "형상", gradient: "기울기", difference: "수치 미분",
    should_be: "올바른 값", none: "None: 도착한 것이 없음", looking: "{name} 보기", close: "닫기", go_visit: "기울기가 완성되는 단계로",
    picture: "{shape}, {min}부터 {max}까지, 평균 {mean}", shown_of: "{all}개 중 {n}개 표시", means_blocks: "한 칸은 여러 원소의 평균", slice: "[{i}, ·, ·]",
    scaled: "모두 × {factor}", no_value: "남아 있지 않음", min: "최솟값", max: "최댓값", mean: "평균", std: "표준편차", norm: "노름", zeros: "0의 개수", nan: "NaN",
    inf: "±∞", empty: "비어 있음", cell_of: "형상 {shape}의 수", quiz_title: "퀴즈: 여기서 무엇이 나갈까?", quiz_score: "{asked}문제 중 {right}개 정답",
    quiz_number: "{op}에 {g}가 도착했습니다. {name}(으)로 무엇을 보낼까요?", quiz_entry: "{name}(으)로 가는 메시지에서 표시된 원소 {entry}는 얼마일까요?",
    quiz_shape: "{name}(으)로 가는 기울기의 형상은 무엇일까요?", quiz_rule: "{name}(으)로 가는 메시지를 만드는 규칙은 무엇일까요?", quiz_inputs: "{op}의 입력:", hint: "힌트",
    reveal: "정답 보기", check_answer: "확인", your_answer: "답", is_right: "정답입니다: {answer}.", is_wrong: "아직 아닙니다. 다시 해 보거나 힌트를 보세요.",
    unreadable: "수로 읽을 수 없습니다. 예: −0.5, 1/3, 1e-3", unreadable_shape: "형상으로 읽을 수 없습니다. 예: 4, 2", revealed: "답은 {answer}입니다.", go_on: "계속 →",
    quiz_hidden: "답할 때까지 메시지를 숨깁니다. 그냥 지나가도 됩니다.", hint_shape: "기울기의 형상은 값의 형상과 같습니다.", hint_rule: "연산은 {op}입니다. 그 도함수를 떠올려 보세요.",
    quiz_away: "퀴즈는 역전파에서 나옵니다.", key_steps: "한 단계 뒤로, 앞으로", key_ends: "처음으로, 끝으로", key_turn: "순전파와 역전파가 바뀌는 곳이나 끝으로", key_play: "재생과 멈춤",
    key_modules: "모듈을 한 층 닫기, 열기", key_quiz: "퀴즈 켜고 끄기", key_zoom: "그래프에서: 크게, 작게, 전체", key_list: "단계 목록에서: 고르기", key_help: "이 도움말",
    signs: "기호", learning: "이 역전파로 XOR을 학습하면", loss: "손실", with_fault: "잘못된 것", without: "올바른 것", step_n: "단계",
    curves_label: "{n}단계 동안의 손실: 잘못된 것은 {wrong}, 올바른 것은 {right}에서 끝남", partly: "{k}/{n} 도착",
  },
});

// ---- runs: steps are the start, the forward ones, the backward ones, and the end ----
const RUNS = DATA.runs.map(prepared);
function prepared(run) {
  const forward = run.forward.length, turn = forward + 1, end = turn + run.backward.length;
  const computedAt = new Map(run.forward.map((id, i) => [id, i + 1]));
  const visitedAt = new Map(run.backward.map((visit, i) => [visit.box, turn + i]));
  const around = run.calls.map((call, i) => call.parent === null ? [i] : null);
  const chain = i => around[i] ??= [...chain(run.calls[i].parent), i];
  run.calls.forEach((call, i) => chain(i));
  const lastOf = new Map(run.forward.flatMap(id => run.boxes[id].call === null ? [] : around[run.boxes[id].call].map(call => [call, id])));
  const depths = run.views.map(view => uniform(view.open, around)).map((depth, i) => ({depth, i})).filter(v => v.depth !== null);
  return {...run, turn, end, computedAt, visitedAt, around, lastOf, byDepth: depths.sort((a, b) => a.depth - b.depth).map(v => v.i)};
}
// How many levels of modules are open, null where it is not the same everywhere.
function uniform(open, around) {
  const depth = Math.max(0, ...open.map(call => around[call].length));
  return around.filter(calls => calls.length <= depth).length === open.length ? depth : null;
}

const state = {run: 0, step: 0, view: 0, quiz: false, peek: null, list: false, timer: null, speed: 1200};
const camera = {x: 0, y: 0, k: 1, whole: true, frame: null};
const answers = new Map();
const run = () => RUNS[state.run];
const view = () => run().views[state.view];
const box = id => run().boxes[id];
const visitAt = step => step >= run().turn && step < run().end ? run().backward[step - run().turn] : null;
const boxAt = step => step < 1 || step >= run().end ? null : step < run().turn ? run().forward[step - 1] : visitAt(step).box;
const isBack = step => step >= run().turn;
const isLeaf = id => !box(id).op && box(id).kind !== "constant";
const told = field => run().texts?.[language]?.[field] ?? (typeof run()[field] === "object"
  ? run()[field][language] ?? run()[field].en : run()[field]);
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

// ---- words for boxes and numbers ----
const shapeOf = shape => shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
const isScalar = v => v && v.numbers !== undefined && !Array.isArray(v.numbers);
const flat = v => Array.isArray(v.numbers) ? v.numbers.flat(Infinity) : [v.numbers];
const SPECIAL = ["NaN", "Infinity", "-Infinity"];
function amount(v, digits = 4) {
  if (typeof v !== "string" || SPECIAL.includes(v)) return shown(v, digits);
  return v.replace(/^\(|\)$/g, "").replace(/[\d.]+(e[+-]?\d+)?/g, text => shown(text, digits)).replaceAll("-", "−");  // complex
}
const bracketed = text => text.startsWith("−") ? `(${text})` : text;
function nameOf(id) {
  const b = box(id);
  return b.name || opOf(b) || (b.kind === "constant" && isScalar(b.value) ? amount(b.value.numbers) : unnamed(b));
}
const unnamed = b => say(b.kind === "constant" ? "constant" : "unnamed");
// One of several without a name is told apart by its forward step: add₇.
const opOf = b => b.op && b.step ? b.op + [...String(b.step)].map(digit => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("") : b.op;
const headOf = b => b.name && b.op ? `${b.name} = ${b.op}` : b.name || opOf(b) || unnamed(b);
function shortOf(v) {
  if (!v) return "";
  return isScalar(v) ? amount(v.numbers) : v.shape.length === 1 ? shapeOf(v.shape) : v.shape.join("×");  // (2,): 2 is a value
}
function normOf(v) {
  const norm = v.statistics ? v.statistics.norm : v.note ? v.norm : Math.hypot(...flat(v).map(number));
  return norm === undefined ? NaN : norm;
}
const single = v => isScalar(v) ? v.numbers : v.numbers && flat(v).length === 1 ? flat(v)[0] : null;
const gradientText = v => single(v) !== null ? amount(single(v)) : `${say("norm")} ${shown(normOf(v), 3)}`;
const gradientBeside = v => single(v) !== null ? `g ${amount(single(v))}` : `|g| ${shown(normOf(v), 3)}`;
function callText(id) {
  const b = box(id);
  const settings = b.static ? `, ${b.static}` : "";
  return `${b.name ? b.name + " = " : ""}${opOf(b)}(${b.inputs.map(nameOf).join(", ")}${settings})`;
}
function positionText(step = state.step) {
  const r = run(), id = boxAt(step);
  if (id === null) return say(step === 0 ? "at_start" : "at_end");
  const back = isBack(step), first = back ? r.turn : 1;
  return say(back ? "at_backward" : "at_forward",
    {k: step - first + 1, n: back ? r.backward.length : r.forward.length, what: headOf(box(id))});
}
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);

// ---- values ----
function valueOf(v, label = "", asked = null) {
  if (!v) return el("span", {class: "about"}, say("no_value"));
  if (isScalar(v)) return el("span", {class: "scalar"}, amount(v.numbers));
  if (v.numbers !== undefined) return el("div", {}, numbersOf(v, label, asked), about(v));
  return v.picture ? heat(v, label) : el("div", {}, about(v), v.statistics ? statistics(v) : null);
}
const about = v => el("div", {class: "about"}, `${shapeOf(v.shape)} ${v.dtype}`);
function slices(numbers, depth, index = []) {
  return depth <= 2 ? [{index, rows: depth === 2 ? numbers : [numbers]}]
    : numbers.flatMap((part, i) => slices(part, depth - 1, [...index, i]));
}
// Matrices to show: axes of length 1 say nothing where there are more than two.
function squeezed(v) {
  const long = v.shape.filter(n => n !== 1);
  if (v.shape.length <= 2 || long.length > 2) return slices(v.numbers, v.shape.length);
  const all = flat(v), [rows, columns] = long.length === 2 ? long : [1, all.length];
  return [{index: [], rows: Array.from({length: rows}, (_, i) => all.slice(i * columns, (i + 1) * columns))}];
}
function numbersOf(v, label, asked) {
  const all = flat(v);
  if (!all.length) return el("span", {class: "about"}, say("empty"));
  const write = writer(all), largest = Math.max(...all.map(x => Math.abs(number(x))).filter(Number.isFinite), 0);
  let n = -1;
  const cell = x => {
    n += 1;
    const share = largest ? Math.abs(number(x)) / largest : 0;
    const classes = [number(x) > 0 ? "high" : number(x) < 0 ? "low" : "", n === asked ? "asked" : ""].join(" ").trim();
    return el("td", {class: classes || null, title: String(x), style: Number.isFinite(share) ? `--share:${share.toFixed(3)}` : null},
      write.text(x));
  };
  const table = part => el("div", {}, part.index.length ? el("div", {class: "about"}, say("slice", {i: part.index.join(", ")})) : null,
    el("table", {class: "numbers", "aria-label": `${label} ${say("cell_of", {shape: shapeOf(v.shape)})}`},
      part.rows.map(row => el("tr", {}, row.map(cell)))));
  return scroller(el("div", {class: "slices"}, squeezed(v).map(table)),
    write.factor ? el("div", {class: "about"}, say("scaled", {factor: write.factor})) : null);
}
const scroller = (...children) => el("div", {class: "scroll"}, children);
// All entries of a table with the same number of decimals, so that the points stand below each other.
function writer(all) {
  if (all.some(x => typeof x === "string" && !SPECIAL.includes(x))) return {text: x => amount(x)};
  const sizes = all.map(x => Math.abs(number(x))).filter(x => Number.isFinite(x) && x > 0);
  const largest = Math.max(...sizes, 0), whole = sizes.every(Number.isInteger);
  const power = largest && (largest >= 1e5 || largest < 1e-3) ? Math.floor(Math.log10(largest)) : 0;
  const unit = 10 ** power, decimals = whole && !power ? 0 : clamp(3 - Math.floor(Math.log10(largest / unit || 1)), 1, 4);
  const text = x => {
    const size = number(x);
    if (!Number.isFinite(size) || size === 0) return shown(x);
    const fixed = (size / unit).toFixed(decimals);
    return Number(fixed) === 0 ? shown(size / unit, 2) : fixed.replace("-", "−");  // what is small is not 0
  };
  return {text, factor: power ? `10${superscript(power)}` : ""};
}
const superscript = n => [...String(n)].map(c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("");

function heat(v, label) {
  const p = v.picture, s = v.statistics, matrix = v.shape.slice(-2);
  const shrunk = v.shape.length > 1 && (matrix[0] > 28 || matrix[1] > 28) && p.tiles * matrix[0] * matrix[1] > p.rows * p.columns;
  const notes = [p.tiles < p.of ? say("shown_of", {n: p.tiles, all: p.of}) : "", shrunk ? say("means_blocks") : ""].filter(Boolean)
    .join("; ");
  const words = say("picture", {shape: shapeOf(v.shape), min: shown(s.min), max: shown(s.max), mean: shown(s.mean)});
  return el("div", {class: "heat"},
    el("div", {}, painted(p, `${label} ${words}`),
      el("div", {class: "ramp"}, `−${shown(p.scale, 3)}`, el("i"), shown(p.scale, 3)), notes ? el("div", {class: "about"}, notes) : null),
    el("div", {}, about(v), statistics(v)));
}
function painted(p, label) {
  const canvas = el("canvas", {width: p.columns, height: p.rows, role: "img", "aria-label": label.trim()});
  const scale = clamp(Math.floor(Math.min(230 / p.columns, 190 / p.rows)), 1, 14);
  canvas.style.width = `${p.columns * scale}px`;
  const [low, zero, high, nothing] = ["low", "zero", "high", "panel"].map(rgb);
  const bytes = Uint8Array.from(atob(p.bytes), c => c.charCodeAt(0));
  const image = new ImageData(p.columns, p.rows);
  bytes.forEach((byte, i) => image.data.set(byte
    ? [...mixed(zero, byte < 128 ? low : high, Math.abs(byte - 128) / 127), 255] : [...nothing, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
function rgb(name) {
  const hex = colour(name).slice(1);
  return [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16));
}
const mixed = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));
function statistics(v) {
  const keys = ["min", "max", "mean", "std", "norm", "zeros", "nan", "inf"].filter(key => v.statistics[key] !== undefined);
  return el("dl", {class: "statistics"}, keys.filter(key => !["zeros", "nan", "inf"].includes(key) || v.statistics[key] > 0)
    .map(key => [el("dt", {}, say(key)), el("dd", {class: ["nan", "inf"].includes(key) ? "badly" : null}, shown(v.statistics[key]))]));
}

// ---- the detail of a step ----
const formula = (text, kind = "") => el("span", {class: `formula ${kind}`.trim()}, text);
const section = (key, ...children) => el("section", {}, el("h3", {}, say(key)), children);
function refer(id, text = nameOf(id)) {
  return el("button", {type: "button", class: "name", onclick: () => visit(id), onmouseenter: () => hint(id),
    onmouseleave: () => hint(null),
    onfocus: () => hint(id), onblur: () => hint(null)}, text);
}
// A sentence with {name} in it, where the name is something to click.
function sentence(key, values, name, node) {
  const mark = "\u0000", parts = say(key, {...values, [name]: mark}).split(mark);
  return parts.flatMap((part, i) => i ? [node(), part] : [part]);
}
function heading(step) {
  const id = boxAt(step), back = isBack(step);
  const title = id === null ? say(step === 0 ? "start_title" : "end_title") : box(id).op ? callText(id) : nameOf(id);
  return [el("span", {class: `phase ${back ? "backward" : "forward"}`}, `${back ? "◂" : "▸"} ${say(back ? "backward" : "forward")}`),
    el("h2", {class: id === null ? "words" : null}, title), id === null ? null : whereIs(id)];
}
function whereIs(id) {
  const b = box(id), calls = b.call === null ? [] : run().around[b.call];
  const parts = [isLeaf(id) ? say("leaf") : null, calls.length ? [`${say("in_module")} `,
    calls.map((call, i) => [i ? " › " : "", moduleButton(call)])] : null];
  return el("div", {class: "where"}, parts.filter(Boolean).flatMap((part, i) => i ? [" · ", part] : [part]));
}
function moduleButton(call) {
  const open = view().open.includes(call), title = run().calls[call].title;
  return el("button", {type: "button", class: "name", "aria-expanded": open, title: say("opens", {name: title}),
    onclick: () => toggle(call)}, title);
}
function sourceOf(id) {
  const line = box(id).line;
  if (!line) return null;
  const {text, start, end} = line, whole = start === null || start < 0;
  const code = whole ? [text] : [[...text].slice(0, start).join(""), el("mark", {}, [...text].slice(start, end).join("")),
    [...text].slice(end).join("")];
  return section("source", el("code", {class: "source"}, code),
    el("div", {class: "where"}, say("source_at", {file: line.file, line: line.number, function: line.function})));
}
function card(kind, head, ...children) {
  return el("div", {class: `card ${kind}`}, head ? el("header", {}, head) : null, children);
}

function startDetail() {
  return [el("p", {}, say("start_text", {n: run().forward.length})), el("p", {}, say("start_how")), section("legend", legend())];
}
function forwardDetail(step) {
  const id = boxAt(step), b = box(id);
  const inputs = b.inputs.map((source, i) =>
    card("", [say("input", {i: i + 1}), refer(source)], valueOf(box(source).value, nameOf(source))));
  return [section("output", card("result", [el("span", {}, headOf(b))], valueOf(b.value, nameOf(id)))),
    section("inputs", el("div", {class: "inputs"}, inputs)), sourceOf(id)];
}
function backwardDetail(step) {
  const visit = visitAt(step), id = visit.box, asked = state.quiz ? question(step) : null, open = asked && !answers.get(asked.key)?.done;
  const sends = visit.products.length ? visit.products.map(product => messageCard(visit, product))
    : isLeaf(id) ? null : el("p", {class: "soft"}, say("goes_none"));
  return [arrivesSection(visit), asked ? quizCard(asked, step) : null,
    open ? el("p", {class: "soft"}, say("quiz_hidden")) : sends ? section("goes", sends) : null, checkSection(visit), sourceOf(id)];
}
function arrivesSection(visit) {
  const several = visit.arrivals.length > 1, before = visit.arrivals.some(a => a.before), id = visit.box;
  const terms = visit.arrivals.map((a, i) => [i ? sign("+") : sign("g ="), term(a, id, i)]);
  const result = several || visit.hooked
    ? [sign(visit.hooked ? "→" : "="), el("div", {class: "term sum"}, el("div", {class: "amount"}, valueOf(visit.g, "g")),
    el("div", {class: "from"}, "g"))] : null;
  const used = visit.arrivals.filter(a => !a.before).length;
  const words = used > 1 ? say("sum", {n: used}) : !several && visit.arrivals[0]?.from !== null ? say("single") : "";
  return section("arrives", words ? el("p", {class: "soft"}, words) : null, el("div", {class: "equation"}, terms, result),
    before ? el("p", {}, say("sum_before")) : null, visit.hooked ? el("p", {}, say("hooked")) : null, shouldBe(visit.right),
    isLeaf(id) ? el("p", {}, say("leaf_end", {name: nameOf(id)})) : null,
      visit.grad ? [el("p", {}, say("conjugate")), valueOf(visit.grad, ".grad")] : null);
}
const sign = text => el("span", {class: "sign"}, text);
function term(a, id, i) {
  const who = a.from !== null ? sentence("from", {i: a.input + 1}, "name", () => refer(a.from))
    : a.before ? say("before") : Number(single(a.value) ?? NaN) === 1 ? say("seed", {name: nameOf(id)}) : say("seed_given");
  const value = isScalar(a.value) ? el("span", {class: "scalar"}, (i ? bracketed : String)(amount(a.value.numbers)))
    : valueOf(a.value, "g");
  return el("div", {class: a.lost ? "term lost" : "term"}, el("div", {class: "amount"}, value), el("div", {class: "from"}, who),
    a.lost ? el("div", {class: "badly"}, say("lost")) : null);
}
const shouldBe = right => right ? el("div", {class: "wrong"}, el("div", {class: "badly"}, `≠ ${say("should")}`), valueOf(right)) : null;

function messageCard(visit, product) {
  const chain = chainRows(visit, product),
    rows = [...ruleRows(visit, product), ...broadcastRows(product), ...chain.length ? chain : [["message", messageOf(product)]]];
  const line = (key, content) => [el("dt", {}, say(key)), el("dd", {}, content)];
  return card("message", [el("span", {}, sentence("to", {}, "name", () => refer(product.to)),
    ` · ${say("input", {i: product.input + 1})}`), product.departs ? null : tablePlace(product.rule)],
    el("dl", {class: "lines"}, rows.map(([key, content]) => line(key, content))),
    product.departs ? el("p", {class: "badly"}, `✗ ${say("departs", {rule: product.departs})}`) : null,
    product.misfit ? el("p", {class: "badly"},
      `✗ ${say("misfit", {got: shapeOf(product.sent.shape), wanted: shapeOf(box(product.to).value.shape)})}`) : null,
    jacobianOf(visit, product));
}
const messageOf = product => isScalar(product.sent)
  ? el("span", {class: "scalar strong"}, amount(product.sent.numbers)) : valueOf(product.sent, say("message"));
const tablePlace = rule => rule && rule.line ? el("span", {class: "where"}, say("table", {file: rule.file, line: rule.line})) : null;
function ruleRows(visit, product) {
  const rule = product.rule;
  if (!rule) return [];
  if (!rule.source) return [["rule", say("no_source", {name: rule.text})]];
  if (!rule.expression) return [["rule", el("details", {}, el("summary", {}, say("function_source")), el("pre", {}, rule.text))]];
  const rows = [["rule", formula(rule.text, "rule")], ["means", keyOf(visit, rule)]];
  return product.numbers ? [...rows, ["numbers", formula(product.numbers.replaceAll("-", "−"))]] : rows;
}
function keyOf(visit, rule) {
  const words = new Set(rule.text.match(/[\p{L}_][\p{L}\p{N}_]*/gu)), inputs = box(visit.box).inputs;
  const meaning = i => i === 0 ? say("g_is") : i === 1 ? [say("y_is"), valueBeside(visit.box)]
    : inputs[i - 2] === undefined ? null : [refer(inputs[i - 2]), valueBeside(inputs[i - 2])];
  const entries = rule.names.map((name, i) => [name, i]).filter(([name]) => words.has(name)).map(([name, i]) => [name, meaning(i)])
    .filter(e => e[1]);
  for (const [name, text] of Object.entries(rule.settings)) if (words.has(name) && !rule.names.includes(name)) entries.push([name, text]);
  return el("div", {class: "key-of"}, entries.map(([name, text]) => el("span", {}, el("code", {}, name), ": ", text)));
}
function valueBeside(id) {
  const b = box(id);
  return isScalar(b.value) && (b.name || b.op) ? ` = ${amount(b.value.numbers)}` : b.value && !isScalar(b.value)
    ? ` ${shapeOf(b.value.shape)}` : "";
}
function broadcastRows(product) {
  if (!product.raw) return [];
  const {raw, sent, summed} = product, times = summed.reduce((n, axis) => n * raw.shape[axis], 1);
  const axes = say(summed.length === 1 ? "axis" : "axes", {n: summed.join(", ")});
  const values = {raw: shapeOf(raw.shape), axes, shape: shapeOf(sent.shape), n: times, sent: shapeOf(sent.shape)};
  const text = sentence(times === 1 ? "dropped" : "summed", values, "name", () => refer(product.to));
  const whole = el("details", {open: sizeOf(raw) <= 16}, el("summary", {}, shapeOf(raw.shape)), valueOf(raw));
  return [["broadcast", el("div", {}, text, whole)]];
}
const sizeOf = v => v.shape.reduce((a, b) => a * b, 1);
function chainRows(visit, product) {
  const local = product.jacobian?.values;
  if (product.jacobian?.entries !== 1 || !local || !isScalar(visit.g) || !isScalar(product.sent) || product.departs) return [];
  const values = {g: amount(visit.g.numbers), local: bracketed(amount(flat(local)[0])), sent: amount(product.sent.numbers)};
  return [["message", [formula(`${values.g} × ${values.local} = `), el("span", {class: "scalar strong"}, values.sent), " ",
    el("span", {class: "about"}, say("chain_words", {y: nameOf(visit.box), x: nameOf(product.to)}))]]];
}
function jacobianOf(visit, product) {
  const j = product.jacobian;
  if (!j || j.entries <= 1) return null;
  if (!j.values) return el("p", {class: "about"}, el("b", {}, say("jacobian")), " ",
    say("jacobian_never", {rows: counted(j.rows), columns: counted(j.columns), entries: counted(j.entries), bytes: sized(j.bytes)}));
  const rows = j.values.numbers, diagonal = j.rows === j.columns && j.rows > 1
    && rows.every((row, y) => row.every((v, x) => x === y || Number(v) === 0));
  return el("details", {open: j.entries <= 16},
    el("summary", {}, `${say("jacobian")} ∂${nameOf(visit.box)}/∂${nameOf(product.to)}, ${j.rows} × ${j.columns}`),
    numbersOf({...j.values, shape: [j.rows, j.columns]}, say("jacobian")),
      el("p", {class: "about"}, say("jacobian_shape", {rows: j.rows, columns: j.columns}),
      diagonal ? ` ${say("diagonal")}` : ""));
}
const counted = n => n < 1e7 ? n.toLocaleString("en-US")
  : `${(n / 10 ** Math.floor(Math.log10(n))).toFixed(1)} × 10${superscript(Math.floor(Math.log10(n)))}`;
function sized(bytes) {
  const i = clamp(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 0, 6);
  return `${Number((bytes / 1000 ** i).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB", "PB", "EB"][i]}`;
}

function verdict(check) {
  if (check.kink) return {kind: "soft", text: say("kink"), why: say("kink_why")};
  const error = number(check.error);
  if (Number.isNaN(error)) return {kind: "soft", text: say("no_number")};
  return error < 1e-3 ? {kind: "well", text: say("agrees")} : {kind: "badly", text: say("differs")};
}
const comparable = check => !check.kink && !Number.isNaN(number(check.error));
function checkSection(visit) {
  const check = visit.check;
  if (!check) return null;
  const {kind, text, why} = verdict(check),
    write = v => flat(v).length === 1 ? el("span", {class: "scalar"}, amount(flat(v)[0], 6)) : numbersOf(v, "");
  const row = (key, content) => [el("dt", {}, say(key)), el("dd", {}, content)];
  return section(isLeaf(visit.box) ? "check_leaf" : "check", el("p", {class: "soft"}, say(check.along ? "check_along" : "check_text")),
    el("dl", {class: "lines"}, row("numeric", write(check.values)), row("by_backward", write(check.exact)),
      row("error", [comparable(check) ? [formula(shown(check.error, 2)), " "] : null, el("span", {class: kind}, text), why ? ` (${why})`
        : null])));
}

function endDetail() {
  const r = run(), leaves = r.boxes.map((b, id) => id).filter(isLeaf), twin = twinOf(state.run);
  const wrong = r.backward.some(visit => visit.right) || twin !== null;
  const head = ["", "value", "gradient", "difference", wrong ? "should_be" : null].filter(key => key !== null);
  const known = new Set(leaves.map(nameOf)), missing = twin === null || r.faulty === false ? [] : lostLeaves(RUNS[twin], known);
  return [el("p", {}, say("end_text")), el("table", {class: "list gradients"},
    el("thead", {}, el("tr", {}, head.map(key => el("th", {scope: "col"}, key ? say(key) : "")))),
    el("tbody", {}, leaves.map(id => leafRow(id, wrong)),
      missing.map(({name, grad}) => el("tr", {}, el("th", {scope: "row"}, name), el("td"),
      el("td", {class: "badly"}, say("none")), el("td"), el("td", {}, valueOf(grad)))))),
    r.code || r.texts?.[language]?.code ? section("code", el("pre", {}, told("code"))) : null];
}
function lostLeaves(other, known) {
  return other.backward.map(visit => ({b: other.boxes[visit.box], grad: visit.grad ?? visit.g}))
    .filter(({b}) => b.kind === "parameter" && !known.has(b.name))
    .map(({b, grad}) => ({name: b.name ?? say("unnamed"), grad}));
}
function leafRow(id, wrong) {
  const at = run().visitedAt.get(id), visit = at === undefined ? null : visitAt(at), grad = visit ? visit.grad ?? visit.g : null;
  const check = visit?.check, words = check ? verdict(check) : null;
  const right = !wrong ? null : visit?.right
    ? el("td", {}, el("div", {class: "badly"}, say("wrong_sign")), valueOf(visit.right)) : el("td", {}, visit ? "✓" : "");
  return el("tr", {}, el("th", {scope: "row"}, refer(id), el("div", {class: "about"}, shapeOf(box(id).value?.shape ?? []))),
    el("td", {}, small(box(id).value, nameOf(id))),
    el("td", {"data-gradient-of": nameOf(id), "data-box": id,
      "data-value": grad ? JSON.stringify(grad.numbers ?? grad.statistics ?? null) : "null"},
      grad ? [valueOf(grad, nameOf(id)), grad.statistics ? small(grad) : null] : say("none")),
    el("td", {}, check ? [el("div", {class: words.kind}, words.text),
      comparable(check) ? el("div", {class: "about"}, `${say("error")} ${shown(check.error, 2)}`) : null] : "—"), right);
}
const small = (v, label) => v && (v.statistics || v.numbers && flat(v).length > 4)
  ? el("div", {class: "about"}, `${say("norm")} ${shown(normOf(v), 3)}`) : valueOf(v, label);

function peekCard(id) {
  const b = box(id), at = run().visitedAt.get(id);
  return card("peek", [el("span", {}, say("looking", {name: headOf(b)})),
    el("button", {type: "button", class: "where name", onclick: () => peek(null)}, say("close"))],
    whereIs(id), valueOf(b.value, nameOf(id)),
      at === undefined ? null : el("p", {}, el("button", {type: "button", class: "name", onclick: () => go(at)}, say("go_visit"))));
}
function drawDetail() {
  const step = state.step, held = $("detail").contains(document.activeElement) && document.activeElement !== $("detail");
  const body = step === 0 ? startDetail() : step === run().end ? endDetail() : isBack(step) ? backwardDetail(step) : forwardDetail(step);
  fill($("detail"), state.peek === null ? null : peekCard(state.peek), heading(step), body);
  for (const part of $("detail").querySelectorAll(".scroll, pre")) if (part.scrollWidth > part.clientWidth + 1
    || part.scrollHeight > part.clientHeight + 1) part.tabIndex = 0;
  if (held) $("detail").focus({preventScroll: true});
}

// ---- quiz: one question for each step on the way back, always the same one ----
function question(step) {
  const visit = visitAt(step), asked = visit.products.filter(product => !product.sent.note);
  if (!asked.length) return null;
  const product = asked[step % asked.length], size = sizeOf(product.sent), key = `${state.run}/${step}`, name = uniqueName(product);
  const common = {key, visit, product, name};
  if (product.sent.numbers !== undefined && size === 1) return {...common, kind: "number", entry: 0, answer: flat(product.sent)[0]};
  if (product.sent.numbers !== undefined && size <= 16 && isSmall(visit)) return {...common, kind: "entry", ...chosen(product.sent, step)};
  const wrong = otherRules(product.rule);
  if (product.rule?.expression && wrong.length > 1 && step % 2) return {...common, kind: "rule", answer: product.rule.text,
    choices: shuffled([product.rule.text, ...wrong.slice(0, 2)], step)};
  return {...common, kind: "shape", answer: product.sent.shape};
}
function uniqueName(product) {
  const name = nameOf(product.to), alike = visitAt(state.step)?.products.filter(other => nameOf(other.to) === name).length > 1;
  return alike ? `${name} (${say("input", {i: product.input + 1})})` : name;
}
const isSmall = visit => [visit.g, ...box(visit.box).inputs.map(id => box(id).value)].every(v => v && v.numbers !== undefined);
function chosen(v, step) {
  const all = flat(v), busy = all.map((x, i) => i).filter(i => number(all[i]) !== 0), places = busy.length ? busy : all.map((x, i) => i);
  const entry = places[step % places.length];
  return {entry, answer: all[entry], index: unravelled(entry, v.shape)};
}
function unravelled(n, shape) {
  return shape.map((size, axis) => Math.floor(n / shape.slice(axis + 1).reduce((a, b) => a * b, 1)) % size);
}
function otherRules(rule) {
  const here = run().backward.flatMap(visit => visit.products).map(product => product.rule).filter(other => other?.expression)
    .map(other => other.text);
  return [...new Set([...here, "g", "-g", "g * y", "g / 2"])].filter(text => text !== rule?.text).slice(0, 8);
}
const shuffled = (items, n) => items.map((item, i) => items[(i + n) % items.length]);
function readNumber(text) {
  const clean = text.trim().replaceAll("−", "-").replaceAll(" ", "").replace("∞", "inf").replace(/inf(inity)?$/i, "Infinity");
  if (/^nan$/i.test(clean)) return "NaN";
  const values = clean.split("/").map(part => part === "" ? NaN : Number(part));
  const value = values.length === 2 ? values[0] / values[1] : values.length === 1 ? values[0] : NaN;
  return Number.isNaN(value) ? null : value;
}
function readShape(text) {
  const clean = text.trim().replace(/^[([]|[)\]]$/g, "");
  return /^\d+(\s*[,x×*\s]\s*\d+)*\s*,?$/.test(clean) ? clean.match(/\d+/g).map(Number) : null;
}
function isRight(asked, given) {
  if (asked.kind === "shape") return given.length === asked.answer.length && given.every((n, i) => n === asked.answer[i]);
  const answer = number(asked.answer);
  if (given === "NaN" || Number.isNaN(answer)) return given === "NaN" && Number.isNaN(answer);
  return given === answer || Math.abs(given - answer) <= Math.max(0.01 * Math.abs(answer), 1e-12);
}
const answerText = asked => asked.kind === "shape" ? shapeOf(asked.answer) : asked.kind === "rule" ? asked.answer : amount(asked.answer);
function quizCard(asked, step) {
  const at = answers.get(asked.key) ?? {};
  return card("quiz", [el("span", {}, say("quiz_title")), el("span", {class: "where", id: "score"}, scoreText())],
    el("p", {}, questionText(asked)), at.done ? null : material(asked),
      at.done ? null : asked.kind === "rule" ? choices(asked) : answerForm(asked),
    el("p", {id: "verdict", class: at.right ? "well" : at.done || !at.said ? "" : "badly"},
      at.done ? say(at.right ? "is_right" : "revealed", {answer: answerText(asked)}) : at.said ? say(at.said) : ""),
    at.hint && !at.done ? el("p", {id: "hint-text"}, hintOf(asked)) : null,
    at.done ? el("button", {type: "button", id: "go-on", onclick: () => go(step + 1)}, say("go_on"))
      : el("div", {class: "answer"}, el("button", {type: "button", id: "hint", onclick: () => answer(asked, {hint: true})}, say("hint")),
        el("button", {type: "button", id: "reveal", onclick: () => answer(asked, {done: true, right: false})}, say("reveal"))));
}
function questionText(asked) {
  const op = opOf(box(asked.visit.box)),
    values = {op, name: asked.name, g: gradientText(asked.visit.g), entry: asked.index ? `[${asked.index.join(", ")}]` : ""};
  return say(`quiz_${asked.kind}`, values);
}
function material(asked) {
  const {visit} = asked, inputs = box(visit.box).inputs;
  if (asked.kind === "shape" || asked.kind === "rule") return null;
  return [el("p", {class: "about"}, say("quiz_inputs", {op: callText(visit.box)})), el("div", {class: "equation"}, inputs.map((id, i) =>
    el("div", {class: "term"}, el("div", {class: "from"}, `${say("input", {i: i + 1})}: ${nameOf(id)}`),
      valueOf(box(id).value, nameOf(id), asked.kind === "entry" && i === asked.product.input ? asked.entry : null))))];
}
function answerForm(asked) {
  const field = el("input", {type: "text", id: "answer", autocomplete: "off", spellcheck: "false", "aria-label": say("your_answer"),
    "aria-describedby": "verdict",
    inputmode: "text", placeholder: say("your_answer")});
  const send = event => {
    event.preventDefault();
    const given = asked.kind === "shape" ? readShape(field.value) : readNumber(field.value);
    if (given === null) return answer(asked, {said: asked.kind === "shape" ? "unreadable_shape" : "unreadable", typed: field.value});
    answer(asked, isRight(asked, given) ? {done: true, right: true} : {said: "is_wrong", typed: field.value});
  };
  field.value = answers.get(asked.key)?.typed ?? "";
  return el("form", {class: "answer", onsubmit: send}, field, el("button", {type: "submit"}, say("check_answer")));
}
function choices(asked) {
  return el("div", {class: "choices", role: "group", "aria-label": say("your_answer")},
    asked.choices.map(text => el("button", {type: "button",
    onclick: () => answer(asked, text === asked.answer ? {done: true, right: true} : {said: "is_wrong"})}, text)));
}
function hintOf(asked) {
  if (asked.kind === "shape") return say("hint_shape");
  if (asked.kind === "rule") return say("hint_rule", {op: box(asked.visit.box).op});
  const rule = asked.product.rule;
  return rule ? [formula(rule.text, "rule"), rule.expression ? keyOf(asked.visit, rule) : null]
    : say("hint_rule", {op: box(asked.visit.box).op});
}
function scoreText() {
  const all = [...answers.values()].filter(a => a.done);
  return say("quiz_score", {right: all.filter(a => a.right).length, asked: all.length});
}
function answer(asked, what) {
  answers.set(asked.key, {...answers.get(asked.key), ...what});
  render();
  const said = $("verdict").textContent;
  announce(what.hint ? $("hint-text").textContent : `${said} ${scoreText()}`);
  ($("answer") ?? $("go-on") ?? $("detail")).focus({preventScroll: true});
  $("answer")?.select();
}
const hiding = () => state.quiz && visitAt(state.step) && (asked => asked && !answers.get(asked.key)?.done)(question(state.step));

// ---- the graph ----
const stage = {boxes: [], edges: [], stands: new Map(), group: null, lines: null, cards: null, messages: null};
const CHARACTER = 7.3;
const isNarrow = code => code < 0x1100 || code >= 0x2000 && code < 0x2e80;
const wide = text => [...text].reduce((n, c) => n + (isNarrow(c.codePointAt(0)) ? 1 : 2), 0);
function clipped(text, width, character = CHARACTER) {
  const room = Math.floor((width - 12) / character);
  if (wide(text) <= room) return text;
  let kept = "";
  for (const c of text) if (wide(kept + c) < room) kept += c; else break;
  return kept + "…";
}
function drawGraph() {
  const v = view();
  stage.boxes = v.boxes.map(drawnBox);
  stage.edges = v.edges.map(([from, to, path]) => ({from, to, path: svg("path", {d: path, class: "edge"}), ...extentOf(path)}));
  stage.stands = new Map();
  stage.boxes.forEach((b, i) => stage.stands.set(b.key, [...stage.stands.get(b.key) ?? [], i]));
  stage.messages = svg("g");
  stage.lines = svg("g", {}, stage.edges.map(e => e.path));
  stage.cards = svg("g", {}, stage.boxes.map(b => b.group));
  stage.group = svg("g", {}, v.frames.map(drawnFrame), stage.lines, stage.cards, stage.messages);
  fill($("graph"), svg("defs", {}, ["plain", "read", "sending"].map(arrow)), stage.group);
  const all = run().byDepth, at = all.indexOf(state.view);
  $("modules").classList.toggle("hidden", run().calls.length === 0);
  $("close-modules").disabled = all[0] === state.view;
  $("open-modules").disabled = at >= 0 && at === all.length - 1;
  camera.whole = true;
}
// A curve stays within the rectangle around its points.
function extentOf(path) {
  const all = path.match(/-?[\d.]+/g).map(Number), xs = all.filter((_, i) => i % 2 === 0), ys = all.filter((_, i) => i % 2);
  const x = Math.min(...xs), y = Math.min(...ys);
  return {x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y};
}
function arrow(name) {
  return svg("marker", {id: `arrow-${name}`, viewBox: "0 0 8 8", refX: 7.5, refY: 4, markerWidth: name === "plain" ? 8 : 11,
    markerHeight: name === "plain" ? 8 : 11,
    orient: "auto-start-reverse", markerUnits: "userSpaceOnUse"}, svg("path", {d: "M0 0.6L8 4L0 7.4Z"}));
}
function drawnFrame([call, x, y, width, height]) {
  const title = run().calls[call].title;
  return svg("g", {class: "frame"}, svg("rect", {x, y, width, height, rx: 12}),
    svg("g", {class: "title", onclick: () => undragged(() => toggle(call))},
    svg("title", {}, say("opens", {name: title})), svg("rect", {x, y, width, height: 22, style: "fill:transparent;stroke:none"}),
    svg("text", {x: x + 10, y: y + 16}, clipped(`▾ ${title}`, width, 6.6))));
}
function drawnBox([kind, id, x, y, width, height]) {
  const isCall = kind === "call", b = isCall ? null : box(id), shows = isCall ? run().lastOf.get(id) : id;
  const head = isCall ? run().calls[id].title : headOf(b), second = shows === undefined ? "" : shortOf(box(shows).value);
  const radius = isCall ? 4 : b.kind === "parameter" ? Math.min(height / 2, 24) : b.kind === "constant" ? 2 : 9;
  const row = (line, text, kind) => svg("text", {x: x + width / 2, y: y + 17 + 17 * line, "text-anchor": "middle", class: kind}, text);
  const gradient = height > 50 ? row(2, "", "gradient small") : null;
  const r = run(), visited = r.visitedAt.get(shows) ?? Infinity, own = [kind, b?.kind === "constant" ? "constant" : "",
    b?.kind === "parameter" ? "leaf" : ""].filter(Boolean).join(" ");
  const group = svg("g", {class: "box", onclick: () => undragged(() => isCall ? toggle(id) : visit(id))},
    svg("title", {}, isCall ? say("opens", {name: head}) : head),
      svg("rect", {class: "halo", x: x - 4, y: y - 4, width: width + 8, height: height + 8, rx: radius + 4}),
    isCall ? svg("rect", {class: "stack", x: x + 4, y: y + 4, width, height, rx: radius}) : null,
    svg("rect", {class: "body", x, y, width, height, rx: radius}), b?.kind === "result"
      ? svg("rect", {class: "stack", x: x + 3, y: y + 3, width: width - 6, height: height - 6, rx: radius - 3}) : null,
    row(0, clipped(head, width), "head"), row(1, clipped(second, width), "value small"), gradient);
  return {group, gradient, own, kind, computed: r.computedAt.get(shows) ?? 0, visited, visit: r.backward[visited - r.turn],
    x, y, width, height, key: `${kind} ${id}`};
}
// The boxes of this view where a value stands: its own, or the closed module's around it.
function placesOf(id) {
  const own = stage.stands.get(`box ${id}`), call = box(id).call;
  if (own) return own;
  const shut = call === null ? undefined : run().around[call].find(c => stage.stands.has(`call ${c}`));
  return shut === undefined ? [] : stage.stands.get(`call ${shut}`);
}
const parts = new Map();  // of this painting: a leaf may stand in many boxes
function partsOf(visit, step) {
  if (!parts.has(visit)) parts.set(visit, countedParts(visit, step));
  return parts.get(visit);
}
function countedParts(visit, step) {
  const came = visit.arrivals.filter(a => a.from !== null && (run().visitedAt.get(a.from) ?? Infinity) <= step).length;
  return came ? say("partly", {k: came, n: visit.arrivals.filter(a => a.from !== null).length}) : "";
}
function paintGraph() {
  parts.clear();
  const step = state.step, now = boxAt(step), current = new Set(now === null ? [] : placesOf(now)), back = isBack(step);
  const hidden = hiding();
  stage.boxes.forEach((b, i) => paintBox(b, current.has(i), back, step, hidden));
  const links = now === null ? [] : linksOf(now, current);
  const lit = new Set(links.map(link => link.edge));
  stage.edges.forEach(e => paintEdge(e, lit.has(e), back));
  cull();
  stage.messages.replaceChildren(...(back && now !== null ? messagesOf(links) : []));
}
// A box is painted anew only where its look has changed: most of a large graph has not.
function paintBox(b, isNow, back, step, hidden) {
  const known = b.computed <= step, visited = b.visited <= step;
  const part = back && b.visit && !visited && b.kind === "box" ? partsOf(b.visit, hidden ? step - 1 : step) : "";
  const look = ["box", b.own, known ? "known" : "away", visited ? "visited" : "", isNow ? "now" : "", isNow && back ? "backward" : ""]
    .filter(Boolean).join(" ");
  if (b.look !== look) b.group.setAttribute("class", look);
  if (b.gradient && (b.look !== look || b.part !== part)) paintGradient(b, visited, part);
  Object.assign(b, {look, part});
}
function paintGradient(b, visited, part) {
  const bad = visited && b.visit.right;
  b.gradient.textContent = visited ? clipped(`${bad ? "≠ " : ""}${gradientBeside(b.visit.g)}`, b.width, 6.7)
    : wide(part) * 6.7 + 8 > b.width ? part.split(" ")[0] : part;
  b.gradient.setAttribute("class", `gradient small ${part ? "part" : bad ? "bad" : ""}`.trim());
}
function linksOf(now, current) {
  const wanted = isBack(state.step)
    ? visitAt(state.step).products.map(product => ({to: product.to, product})) : box(now).inputs.map(to => ({to, product: null}));
  return wanted.flatMap(({to, product}) => {
    const from = new Set(placesOf(to));
    return stage.edges.filter(e => from.has(e.from) && current.has(e.to)).map(edge => ({edge, product}));
  });
}
function paintEdge(e, isLit, back) {
  const from = stage.boxes[e.from], to = stage.boxes[e.to];
  const passed = back && !isLit && to.visited <= state.step && from.gradient !== null;
  const look = isLit ? (back ? "sending" : "read") : passed ? "passed" : to.computed <= state.step ? "" : "away";
  if (e.look === look) return;
  e.look = look;
  e.path.setAttribute("class", `edge ${look}`.trim());
  e.path.setAttribute("marker-end", look === "sending" || look === "passed" ? "" : `url(#arrow-${look === "read" ? "read" : "plain"})`);
  e.path.setAttribute("marker-start", look === "sending" ? "url(#arrow-sending)" : "");
}
// The numbers that go along the edges, each where it hides least.
function messagesOf(links) {
  const byEdge = new Map(), placed = [];
  for (const {edge, product} of links) byEdge.set(edge, [...byEdge.get(edge) ?? [], hiding() ? "?" : gradientText(product.sent)]);
  const titles = view().frames.map(([, x, y, width]) => ({x, y, width: Math.min(width, 150), height: 22}));
  const hidden = spot => [[placed, 40], [stage.boxes, 3], [titles, 1]]
    .reduce((sum, [rects, weight]) => sum + weight * rects.reduce((area, r) => area + overlap(spot, r), 0), 0);
  return [...byEdge].map(([edge, parts]) => {
    const text = parts.join(" + "), spots = spotsOn(edge.path, wide(text) * 6.7 + 12, 18).map(spot => ({spot, cost: hidden(spot)}));
    const {spot} = spots.reduce((best, each) => best.cost <= each.cost ? best : each);
    placed.push(spot);
    return svg("g", {class: "message"}, svg("rect", {...spot, rx: 9}),
      svg("text", {x: spot.x + spot.width / 2, y: spot.y + 13, "text-anchor": "middle", class: "small"}, text));
  });
}
const overlap = (a, b) => Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));
// Places for a number on an edge, best first: on a long one near the box that sends it, beside the edge where need be.
function spotsOn(path, width, height) {
  const length = path.getTotalLength();
  const shares = length < 110 ? [.3, .25, .35, .4, .2, .5, .6] : [70, 50, 95, 130, 170, 220].map(far => Math.max(.1, 1 - far / length));
  return [0, -20, 20, -40, 40].flatMap(aside => shares.map(share => {
    const at = path.getPointAtLength(length * share);
    return {x: at.x - width / 2 + aside, y: at.y - height / 2, width, height};
  }));
}
function hint(id) {
  for (const b of stage.boxes) b.group.classList.remove("hint");
  if (id !== null) for (const i of placesOf(id)) stage.boxes[i]?.group.classList.add("hint");
}

// Of a large graph only what is in view stays on the page: the browser lays all of it out at every step.
const LARGE = 150;
function cull() {
  if (stage.boxes.length <= LARGE) return;
  const p = pane(), margin = 60 / camera.k, left = -camera.x / camera.k - margin, top = -camera.y / camera.k - margin;
  const right = left + p.width / camera.k + 2 * margin, bottom = top + p.height / camera.k + 2 * margin;
  const isOut = part => part.x + part.width < left || part.x > right || part.y + part.height < top || part.y > bottom;
  for (const e of stage.edges) takeOut(e, e.path, stage.lines, isOut(e) && e.look !== "sending");
  for (const b of stage.boxes) takeOut(b, b.group, stage.cards, isOut(b));
}
function takeOut(part, element, layer, isOut) {
  if (Boolean(part.isOut) === isOut) return;
  part.isOut = isOut;
  if (isOut) element.remove();
  else layer.append(element);
}

// ---- the camera ----
const READABLE = 0.74;
const pane = () => ({width: $("graph").clientWidth || 300, height: $("graph").clientHeight || 300});
function place() {
  if (!stage.group) return;
  cull();
  stage.group.setAttribute("transform", `translate(${camera.x.toFixed(2)} ${camera.y.toFixed(2)}) scale(${camera.k.toFixed(4)})`);
}
function glide(target) {
  cancelAnimationFrame(camera.frame);
  const from = {x: camera.x, y: camera.y, k: camera.k}, began = performance.now(),
    still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const tick = now => {
    const t = still ? 1 : clamp((now - began) / 260, 0, 1), s = 1 - (1 - t) ** 3;
    for (const key of ["x", "y", "k"]) camera[key] = from[key] + (target[key] - from[key]) * s;
    place();
    if (t < 1) camera.frame = requestAnimationFrame(tick);
  };
  tick(began);
}
function wholeView(most = 1.25) {
  const v = view(), p = pane(), k = Math.min((p.width - 36) / v.width, (p.height - 36) / v.height, most);
  return {k, x: (p.width - v.width * k) / 2, y: (p.height - v.height * k) / 2};
}
function fitted() {
  camera.whole = true;
  const target = wholeView();
  glide(target);
}
// After a change of view: all of it if that can be read, else in a size that can be.
function settle() {
  const target = wholeView();
  if (target.k >= READABLE) Object.assign(camera, target);
  else {
    const p = pane(), k = Math.max(READABLE, p.width < 500 ? 0.8 : 0.95), v = view(),
      top = isBack(state.step) && boxAt(state.step) === null;
    Object.assign(camera, {k, x: (p.width - v.width * k) / 2, y: top ? p.height - v.height * k - 20 : 20});
  }
  place();
  follow();
}
function follow() {
  const now = boxAt(state.step);
  if (now === null || wholeView().k >= READABLE && camera.whole) return camera.whole && wholeView().k >= READABLE ? undefined : ends();
  const p = pane(), at = nearest(placesOf(now).map(i => stage.boxes[i]), p);
  if (!at) return;
  const x = camera.x + (at.x + at.width / 2) * camera.k, y = camera.y + (at.y + at.height / 2) * camera.k;
  const w = at.width / 2 * camera.k + 16, h = at.height / 2 * camera.k + Math.min(70 * camera.k, p.height / 5);
  if (x - w >= 0 && x + w <= p.width && y - h >= 0 && y + h <= p.height) return;
  glide({k: camera.k, x: camera.x + p.width / 2 - x, y: camera.y + p.height / 2 - y});
}
function ends() {
  if (wholeView().k >= READABLE || boxAt(state.step) !== null) return;
  const p = pane(), v = view();
  glide({k: camera.k, x: (p.width - v.width * camera.k) / 2, y: 20});
}
const distance = (b, p) => Math.hypot(camera.x + (b.x + b.width / 2) * camera.k - p.width / 2,
  camera.y + (b.y + b.height / 2) * camera.k - p.height / 2);
const nearest = (boxes, p) => boxes.reduce((best, b) => best && distance(best, p) <= distance(b, p) ? best : b, null);
function zoomed(factor, x = pane().width / 2, y = pane().height / 2, animate = true) {
  const k = clamp(camera.k * factor, 0.03, 4), f = k / camera.k, target = {k, x: x - (x - camera.x) * f, y: y - (y - camera.y) * f};
  camera.whole = false;
  if (animate) return glide(target);
  cancelAnimationFrame(camera.frame);
  Object.assign(camera, target);
  place();
}
const fingers = new Map();
let moved = 0;
const undragged = act => { if (moved < 6) act(); };
function pressed(event) {
  if (!fingers.size) moved = 0;
  fingers.set(event.pointerId, {x: event.clientX, y: event.clientY});
}
function dragged(event) {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at), here = {x: event.clientX, y: event.clientY};
  moved += Math.hypot(here.x - before.x, here.y - before.y);
  fingers.set(event.pointerId, here);
  if (moved < 6) return;
  if (!$("graph").hasPointerCapture(event.pointerId)) $("graph").setPointerCapture(event.pointerId);
  $("graph").classList.add("dragged");
  cancelAnimationFrame(camera.frame);
  camera.whole = false;
  if (others.length) return pinched(others[0], before, here);
  Object.assign(camera, {x: camera.x + here.x - before.x, y: camera.y + here.y - before.y});
  place();
}
function pinched(other, before, here) {
  const far = p => Math.max(8, Math.hypot(p.x - other.x, p.y - other.y)), edge = $("graph").getBoundingClientRect();
  zoomed(far(here) / far(before), (here.x + other.x) / 2 - edge.left, (here.y + other.y) / 2 - edge.top, false);
}
function released(event) {
  fingers.delete(event.pointerId);
  $("graph").classList.remove("dragged");
}
function wheeled(event) {
  event.preventDefault();
  const edge = $("graph").getBoundingClientRect();
  zoomed(Math.exp(-clamp(event.deltaY * (event.deltaMode ? 16 : 1), -120, 120) / 300), event.clientX - edge.left, event.clientY - edge.top,
    false);
}

// ---- modules ----
const differing = (a, b) => [...a].filter(x => !b.has(x)).length + [...b].filter(x => !a.has(x)).length;
function closestView(fits, wanted) {
  const found = run().views.map((v, i) => ({i, open: new Set(v.open)})).filter(v => fits(v.open))
    .map(v => ({...v, far: differing(v.open, wanted)}));
  return found.reduce((best, v) => best && best.far <= v.far ? best : v, null)?.i ?? state.view;
}
function toggle(call) {
  const now = new Set(view().open), inside = c => run().around[c].includes(call);
  const isOpen = now.has(call), wanted = new Set(isOpen ? [...now].filter(c => !inside(c)) : [...now, ...run().around[call]]);
  show(closestView(open => open.has(call) !== isOpen, wanted));
}
function level(by) {
  const all = run().byDepth, at = all.indexOf(state.view), size = view().open.length;
  if (at >= 0) return show(all[(at + by + all.length) % all.length]);
  const next = by < 0 ? all.filter(i => run().views[i].open.length < size).at(-1) : all.find(i => run().views[i].open.length > size);
  show(next ?? all[0]);
}
function show(index) {
  if (index === state.view) return;
  const anchor = boxAt(state.step);
  state.view = index;
  drawGraph();
  settle();
  if (anchor === null) place();
  render();
}
function firstView(r) {
  if (r.views[0].boxes.length <= 60 || r.views.length === 1) return 0;
  return r.byDepth.find(i => r.views[i].boxes.length >= 3) ?? 0;
}

// ---- walking ----
function go(step) {
  state.step = clamp(step, 0, run().end);
  state.peek = null;
  render();
  scrolled();
  follow();
  announceStep();
}
function scrolled() {
  if (getComputedStyle($("detail")).overflowY !== "visible") { $("detail").scrollTop = 0; return; }
  const top = $("detail").getBoundingClientRect().top, below = $("scene").getBoundingClientRect().bottom;
  if (top < below - 1) scrollBy(0, top - below);
}
function visit(id) {
  const r = run(), at = isBack(state.step) ? r.visitedAt.get(id) ?? r.computedAt.get(id) : r.computedAt.get(id);
  if (at === undefined) return peek(id);
  pause();
  go(at);
}
function peek(id) {
  state.peek = id;
  render();
  if (id === null) return;
  scrolled();
  announce(`${say("looking", {name: headOf(box(id))})}. ${shortOf(box(id).value)}`);
}
function turns() { return [0, run().turn - 1, run().turn, run().end]; }
const turnAfter = () => turns().find(step => step > state.step) ?? run().end;
const turnBefore = () => turns().findLast(step => step < state.step) ?? 0;
function play() {
  if (state.timer) return pause();
  if (state.step >= run().end) go(0);
  const tick = () => {
    go(state.step + 1);
    state.timer = state.step < run().end ? setTimeout(tick, state.speed) : null;
    playButton();
  };
  state.timer = setTimeout(tick, 150);
  playButton();
}
function pause() {
  clearTimeout(state.timer);
  state.timer = null;
  playButton();
}
function playButton() { $("play").textContent = say(state.timer ? "pause" : "play"); }

let waiting = null;
function announce(text) {
  clearTimeout(waiting);
  waiting = setTimeout(() => { $("said").textContent = text; }, 200);
}
function announceStep() {
  const visit = visitAt(state.step), id = boxAt(state.step), text = capital(positionText());
  if (id === null) return announce(text);
  if (!visit) return announce(`${text} → ${shortOf(box(id).value)}`);
  const sent = hiding() ? [say("quiz_title")]
    : visit.products.map(product => `${say("to", {name: nameOf(product.to)})} ${gradientText(product.sent)}`);
  announce([`${text}. g ${gradientText(visit.g)}`, visit.right ? say("wrong_sign") : "", ...sent].filter(Boolean).join(", "));
}

// ---- several runs ----
function twinOf(index) {
  const r = RUNS[index], match = /^(.*)-(wrong|right)$/.exec(r.key ?? "");
  if (Number.isInteger(r.right) && r.right !== index && RUNS[r.right]) return r.right;
  const found = match ? RUNS.findIndex(other => other.key === `${match[1]}-${match[2] === "wrong" ? "right" : "wrong"}`) : -1;
  if (found >= 0) return found;
  const back = RUNS.findIndex(other => other.right === index && other !== r);
  return back >= 0 ? back : null;
}
const isBroken = index => RUNS[index].faulty ?? (/-wrong$/.test(RUNS[index].key ?? "") || Number.isInteger(RUNS[index].right)
  && RUNS[index].right !== index);
// The same place in another run: what has the same name and operation, on the same way; else as far along.
function sameStep(from, to, step) {
  if (step === 0) return 0;
  if (step === from.end) return to.end;
  const back = step >= from.turn, id = back ? from.backward[step - from.turn].box : from.forward[step - 1], b = from.boxes[id];
  const ids = back ? to.backward.map(visit => visit.box) : to.forward,
    like = i => to.boxes[ids[i]]?.name === b.name && to.boxes[ids[i]]?.op === b.op;
  const at = step - (back ? from.turn : 1), found = like(at) ? at : ids.findIndex((_, i) => like(i));
  return (back ? to.turn : 1) + (found >= 0 ? found : clamp(at, 0, ids.length - 1));
}
function choose(index) {
  const before = run(), step = twinOf(state.run) === index ? sameStep(before, RUNS[index], state.step) : 0;
  pause();
  Object.assign(state, {run: index, view: firstView(RUNS[index]), step, peek: null});
  arrange();
}
function titleOf(index) {
  const r = RUNS[index], own = r.texts?.[language]?.title ?? r.title;
  return (typeof own === "object" && own ? own[language] ?? own.en : own) || `${say("run")} ${index + 1}`;
}
function drawRuns() {
  const twin = twinOf(state.run), broken = isBroken(state.run);
  $("chooser").classList.toggle("hidden", RUNS.length < 2);
  fill($("run"), RUNS.map((r, i) => el("option", {value: i, selected: i === state.run}, titleOf(i))));
  $("run").value = String(state.run);
  $("pair").classList.toggle("hidden", twin === null);
  fill($("pair"), twin === null ? null : [true, false].map(bad => el("button", {type: "button", "aria-pressed": bad === broken,
    onclick: () => { if (bad !== broken) choose(twin); $("pair").children[bad ? 0 : 1].focus(); }}, say(bad ? "broken" : "right"))));
  drawStory();
}
function drawStory() {
  const title = told("title"), story = told("story"), code = told("code"), curves = run().curves;
  $("story").classList.toggle("hidden", !title && !story);
  if (state.told !== state.run) $("story").open = innerWidth > 800;
  state.told = state.run;
  fill($("story"), el("summary", {}, title || ""), el("div", {class: "row"},
    el("div", {}, story ? story.split("\n").map(line => el("p", {}, line)) : null, code ? el("pre", {}, code) : null), curves ? curvesOf(curves) : null));
}
function curvesOf(curves) {
  const all = [...curves.right, ...curves.wrong].map(number).filter(v => v > 0 && Number.isFinite(v)), low = Math.log10(Math.min(...all)),
    high = Math.log10(Math.max(...all));
  const width = 260, height = 90, n = Math.max(curves.right.length, curves.wrong.length) - 1;
  const path = values => values.map(number).map((v, i) => v > 0 && Number.isFinite(v)
    ? `${(42 + i / n * width).toFixed(1)} ${(8 + (high - Math.log10(v)) / (high - low || 1) * height).toFixed(1)}`
      : null).filter(Boolean).map((p, i) => (i ? "L" : "M") + p).join("");
  const last = values => shown(values.at(-1), 2), label = say("curves_label", {n, wrong: last(curves.wrong), right: last(curves.right)});
  const line = (values, name, dash) =>
    svg("path", {d: path(values), fill: "none", stroke: `var(--${name})`, "stroke-width": 2, "stroke-dasharray": dash});
  const text = (x, y, content, name = "soft", anchor = "start") =>
    svg("text", {x, y, "text-anchor": anchor, fill: `var(--${name})`, "font-size": 11}, content);
  return el("figure", {style: "margin:0"}, el("figcaption", {class: "about"}, `${say("learning")}: ${say("loss")}`),
    svg("svg", {width: 330, height: 132, viewBox: "0 0 330 132", role: "img", "aria-label": label},
      svg("path", {d: `M42 8V98H302`, fill: "none", stroke: "var(--line)"}),
      text(38, 14, shown(10 ** high, 1), "soft", "end"), text(38, 98, shown(10 ** low, 1), "soft", "end"),
        line(curves.right, "good", "6 3"), line(curves.wrong, "bad", ""),
      text(46, 112, "0"), text(302, 112, `${n} ${say("step_n")}`, "soft", "end"), text(46, 127, `— ${say("with_fault")}`, "bad"),
        text(150, 127, `- - ${say("without")}`, "good")));
}

// ---- the list of steps ----
function drawSteps() {
  $("steps").classList.toggle("hidden", !state.list);
  $("graph").classList.toggle("hidden", state.list);
  $("zooms").classList.toggle("hidden", state.list);
  $("as-steps").setAttribute("aria-pressed", String(state.list));
  $("as-graph").setAttribute("aria-pressed", String(!state.list));
  if (!state.list) return;
  const stamp = `${state.run} ${language}`;
  if ($("steps").dataset.stamp !== stamp) fillSteps(stamp);
  $("steps").querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
  const here = $("steps").children[state.step];
  here.setAttribute("aria-selected", "true");
  $("steps").setAttribute("aria-activedescendant", here.id);
  here.scrollIntoView({block: "nearest"});
}
function fillSteps(stamp) {
  const r = run();
  const item = step => {
    const back = isBack(step), id = boxAt(step), count = id === null ? "" : step - (back ? r.turn : 1) + 1;
    return el("li", {id: `step-${step}`, role: "option", "aria-selected": false, class: back ? "backward" : "forward",
      onclick: () => go(step)},
      el("span", {class: "way"}, back ? "◂" : "▸", el("span", {class: "quiet"}, say(back ? "backward" : "forward"))),
        el("span", {class: "count"}, count),
      el("span", {}, id === null ? say(step === 0 ? "start" : "end") : box(id).op ? callText(id) : nameOf(id)));
  };
  fill($("steps"), Array.from({length: r.end + 1}, (_, step) => item(step)));
  $("steps").dataset.stamp = stamp;
}
function list(on) {
  state.list = on;
  drawSteps();
  if (!on) settle();
}

// ---- help ----
function legend() {
  const sample = (kind, lines, key, more = {}) =>
    el("figure", {}, svg("svg", {class: "picture", viewBox: "-6 -6 124 74", width: 124, height: 74, "aria-hidden": "true"},
    svg("g", {class: `box ${kind}`}, svg("rect", {class: "halo", x: -4, y: -4, width: 112, height: 68, rx: 12}),
      more.stack ? svg("rect", {class: "stack", x: 4, y: 4, width: 104, height: 60, rx: 4}) : null,
      svg("rect", {class: "body", width: 104, height: 60, rx: more.stack ? 4 : 9}),
        lines.map(([text, kind], i) => svg("text", {x: 52, y: 17 + 17 * i, "text-anchor": "middle", class: kind}, text)))),
    el("figcaption", {}, say(key)));
  return el("div", {class: "legend", id: "legend"}, sample("away", [["d = tanh"]], "legend_away"),
    sample("known", [["d = tanh"], ["0.964", "small"]], "legend_known"),
    sample("known", [["d = tanh"], ["0.964", "small"], [say("partly", {k: 1, n: 2}), "gradient part small"]], "legend_part"),
    sample("known visited", [["d = tanh"], ["0.964", "small"], ["g −1.5", "gradient small"]], "legend_visited"),
    sample("known visited now backward", [["d = tanh"], ["0.964", "small"], ["g −1.5", "gradient small"]], "legend_now"),
    sample("constant", [["x"], ["4×3", "small"]], "legend_constant"),
      sample("known", [["Dense(4, 2)"], ["4×2", "small"]], "legend_call", {stack: true}));
}
const KEYS = [[["←", "→"], "key_steps"], [["Home", "End"], "key_ends"], [["PageUp", "PageDown"], "key_turn"], [["Space"], "key_play"],
  [["m", "M"], "key_modules"],
  [["q"], "key_quiz"], [["+", "−", "0"], "key_zoom"], [["↑", "↓"], "key_list"], [["?"], "key_help"]];
function help() {
  const close = el("button", {type: "button", onclick: () => $("keys").close()}, say("close"));
  fill($("keys"), el("div", {class: "head"}, el("h2", {id: "keys-title"}, say("keys")), close),
    el("dl", {}, KEYS.map(([keys, text]) =>
    [el("dt", {}, keys.map((key, i) => [i ? " " : "", el("kbd", {}, key)])), el("dd", {}, say(text))])),
    el("h3", {}, say("signs")), legend());
  if (!$("keys").open) $("keys").showModal();
  close.focus();
}

// ---- all of it ----
function render() {
  const r = run();
  $("scrubber").max = r.end;
  $("scrubber").value = state.step;
  $("scrubber").setAttribute("aria-valuetext", positionText());
  $("scrubber").parentElement.style.setProperty("--turn", `${(100 * (r.turn - 0.5) / r.end).toFixed(2)}%`);
  $("position").textContent = capital(positionText());
  $("position").title = positionText();
  $("first").disabled = $("back").disabled = state.step === 0;
  $("last").disabled = $("next").disabled = state.step === r.end;
  $("quiz").setAttribute("aria-pressed", String(state.quiz));
  $("graph").setAttribute("aria-label",
    say("graph_label", {n: r.boxes.length, open: view().open.length, all: r.calls.length, now: capital(positionText())}));
  paintGraph();
  drawDetail();
  drawSteps();
  remember();
}
const KNOWN_TITLES = ["heading", "gallery"];
function redraw() {
  const known = KNOWN_TITLES.find(key => [TEXTS.en[key], TEXTS.ko[key]].includes(DATA.title));
  fill($("title"), known ? say(known) : DATA.title);
  document.title = $("title").textContent;
  fill($("speed"), [["slow", 2400], ["normal", 1200], ["fast", 350]]
    .map(([key, ms]) => el("option", {value: ms, selected: ms === state.speed}, say(key))));
  playButton();
  drawRuns();
  const kept = {...camera};
  drawGraph();
  Object.assign(camera, kept);
  place();
  render();
  if ($("keys").open) help();
}
function arrange() {
  drawRuns();
  drawGraph();
  render();
  settle();
}
function remember() {
  const hash = `#run=${state.run}&step=${state.step}`;
  if (location.hash === hash) return;
  try { history.replaceState(null, "", hash); } catch { /* some browsers limit how often */ }
}
function restore() {
  const asked = new URLSearchParams(location.hash.slice(1)), index = Number(asked.get("run")), step = Number(asked.get("step"));
  const known = Number.isInteger(index) && RUNS[index] ? index : 0;
  if (known !== state.run) Object.assign(state, {run: known, view: firstView(RUNS[known])});
  state.step = Number.isInteger(step) ? clamp(step, 0, run().end) : 0;
}

// ---- keys ----
const ACTIONS = {
  ArrowLeft: () => { pause(); go(state.step - 1); }, ArrowRight: () => { pause(); go(state.step + 1); }, Home: () => { pause(); go(0); },
    End: () => { pause(); go(run().end); },
  PageUp: () => { pause(); go(turnBefore()); }, PageDown: () => { pause(); go(turnAfter()); }, " ": play, m: () => level(-1),
    M: () => level(1), q: () => quiz(), "?": help,
};
const IN_GRAPH = {"+": () => zoomed(1.3), "=": () => zoomed(1.3), "-": () => zoomed(1 / 1.3), "0": fitted};
const IN_LIST = {ArrowUp: () => go(state.step - 1), ArrowDown: () => go(state.step + 1)};
function keyed(event) {
  const at = event.target, typing = at.matches("input[type=text], select, textarea") || $("keys").open;
  if (event.ctrlKey || event.altKey || event.metaKey || typing) return;
  const acts = {...ACTIONS, ...at === $("graph") ? IN_GRAPH : {}, ...at === $("steps") ? IN_LIST : {}};
  const scrolls = at.matches(".scroll, pre") && event.key.startsWith("Arrow"), presses = event.key === " " && at.matches("button, summary");
  if (!Object.hasOwn(acts, event.key) || scrolls || presses) return;
  event.preventDefault();
  acts[event.key]();
}
function quiz() {
  state.quiz = !state.quiz;
  render();
  announce(say(!state.quiz || visitAt(state.step) ? "quiz" : "quiz_away"));
}

state.view = firstView(run());
restore();
for (const [id, act] of Object.entries({first: ACTIONS.Home, back: ACTIONS.ArrowLeft, next: ACTIONS.ArrowRight, last: ACTIONS.End, play,
  quiz, help, fit: fitted,
  smaller: () => zoomed(1 / 1.3), larger: () => zoomed(1.3), "close-modules": () => level(-1), "open-modules": () => level(1),
    "as-graph": () => list(false),
  "as-steps": () => list(true)})) $(id).addEventListener("click", act);
$("scrubber").addEventListener("input", () => { pause(); go(Number($("scrubber").value)); });
$("speed").addEventListener("change", () => { state.speed = Number($("speed").value); });
$("run").addEventListener("change", () => choose(Number($("run").value)));
for (const [name, act] of Object.entries({pointerdown: pressed, pointermove: dragged, pointerup: released,
  pointercancel: released})) $("graph").addEventListener(name, act);
$("graph").addEventListener("wheel", wheeled, {passive: false});
addEventListener("keydown", keyed);
addEventListener("hashchange", () => { restore(); arrange(); announceStep(); });
new ResizeObserver(() => { if (camera.whole && stage.group) settle(); }).observe($("graph"));
switches($("switches"), redraw);
settle();

"use strict";
// What all pages share: the data, building elements, light and dark, languages.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// el("button", {class: "x", onclick: f}, "text", child): strings become text, so no name is ever read as HTML.
function el(tag, attributes = {}, ...children) { return dressed(document.createElement(tag), attributes, children); }
function svg(tag, attributes = {}, ...children) { return dressed(document.createElementNS(SVG, tag), attributes, children); }
function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-") && typeof value === "boolean") element.setAttribute(name, String(value));
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return element;
}
function fill(element, ...children) { element.replaceChildren(); return dressed(element, {}, children); }

// A number as JSON carries it: NaN and infinities are strings there; what is missing is no 0.
const number = v => v === null || v === "" ? NaN : Number(v);
// -0.0123, 1.5e-7, 12000: at most `digits` digits, with a true minus sign.
function shown(v, digits = 4) {
  v = number(v);
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
  if (v === 0) return "0";
  const size = Math.abs(Number(v.toPrecision(digits)));
  const text = size >= 1e5 || size < 1e-4
    ? v.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e")
    : String(Number(v.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

// ---- languages: TEXTS = {en: {key: "text with {name}"}, ko: {...}}, which a page extends with `texts` ----
const TEXTS = {
  en: {dark: "Dark", light: "Light", language: "한국어", theme_label: "Change between light and dark"},
  ko: {dark: "어둡게", light: "밝게", language: "English", theme_label: "밝은 화면과 어두운 화면 전환"},
};
let language = DATA.language || "en";
function texts(more) { for (const name in more) Object.assign(TEXTS[name], more[name]); }
function say(key, values = {}) {
  const text = [TEXTS[language], TEXTS.en].find(table => Object.hasOwn(table, key))?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => Object.hasOwn(values, name) ? values[name] : whole);
}
// Elements with data-text="key" are filled anew; data-label="key" sets aria-label and title.
function translate(root = document) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    element.title = say(element.dataset.label);
  }
}

// ---- light and dark; what was chosen is remembered where the browser allows it ----
const remembered = {
  get(key) { try { return localStorage.getItem("minigrad." + key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem("minigrad." + key, value); } catch { /* a page from the disk may not */ } },
};
const dark = () => document.documentElement.dataset.theme === "dark";
function theme(name) { document.documentElement.dataset.theme = name; }
theme(remembered.get("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// The two buttons of every page, at the end of its header; `redraw` runs after each change.
function switches(where, redraw) {
  const themes = el("button", {id: "theme", type: "button", onclick: () => {
    theme(dark() ? "light" : "dark");
    remembered.set("theme", document.documentElement.dataset.theme);
    refresh();
  }});
  const languages = el("button", {id: "language", type: "button", onclick: () => {
    language = language === "en" ? "ko" : "en";
    refresh();
  }});
  function refresh() {
    themes.textContent = say(dark() ? "light" : "dark");
    themes.title = say("theme_label");
    languages.textContent = say("language");
    languages.lang = language === "en" ? "ko" : "en";
    translate();
    redraw();
  }
  where.append(languages, themes);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", event => {
    if (!remembered.get("theme")) { theme(event.matches ? "dark" : "light"); refresh(); }
  });
  refresh();
}

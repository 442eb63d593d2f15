// Small behaviours of every page: theme, menu, dialogs, toasts, htmx errors, copy,
// keyboard rows, file names, relative times. No module imports another.

const root = document.documentElement;
const $ = (selector, scope = document) => scope.querySelector(selector);
const $$ = (selector, scope = document) => [...scope.querySelectorAll(selector)];

// Theme: system -> light -> dark -> system.
const THEMES = ["system", "light", "dark"];

function currentTheme() {
  return root.dataset.theme || "system";
}

function setTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("cg-theme");
    else localStorage.setItem("cg-theme", theme);
  } catch {
    // Storage is off: the choice lasts for this page.
  }
  showTheme();
  document.dispatchEvent(new CustomEvent("cg:theme"));
}

function showTheme() {
  for (const node of $$("[data-theme-name]")) node.textContent = currentTheme();
}

function nextTheme() {
  setTheme(THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length]);
  toast(`Theme: ${currentTheme()}`, { tone: "info" });
}

// Toasts.
function toast(text, { tone = "info", note = "", sticky = false } = {}) {
  const template = $("#toast-template");
  const box = $("#toasts");
  if (!template || !box) return;
  const item = template.content.firstElementChild.cloneNode(true);
  item.classList.add(`t-${tone}`);
  for (const mark of $$("[data-for]", item)) mark.hidden = mark.dataset.for !== tone;
  const body = $("div", item);
  body.textContent = text;
  if (note) {
    const small = document.createElement("small");
    small.textContent = note;
    body.append(small);
  }
  if (sticky) item.dataset.sticky = "";
  while (box.childElementCount >= 4) box.firstElementChild.remove();
  box.append(item);
  watchToast(item);
}

function watchToast(item) {
  if (!("sticky" in item.dataset)) setTimeout(() => item.remove(), 7000);
}

// htmx: 422 carries a form with its errors; other failures become a toast.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status !== 422) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
});

// A refused form takes the focus to its first fault.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.xhr?.status !== 422) return;
  $("main [aria-invalid=true]:not(:disabled)")?.focus();
});

const REASONS = {
  401: "You are signed out. Sign in and try again.",
  403: "Your role does not allow this.",
  404: "This no longer exists.",
  409: "Somebody changed this in the meantime. Reload the page.",
  413: "This is too large.",
  429: "Too many requests. Wait a moment and try again.",
  503: "The service is busy. Nothing was lost; try again in a moment.",
};

document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  const id = xhr.getResponseHeader("X-Request-ID");
  let text = REASONS[xhr.status] || `The server answered ${xhr.status}.`;
  if ((xhr.getResponseHeader("Content-Type") || "").includes("json")) {
    try {
      text = JSON.parse(xhr.responseText).detail || text;
    } catch {
      // Not JSON after all: the general sentence stands.
    }
  }
  toast(text, { tone: "danger", note: id ? `Request ${id}` : "", sticky: true });
});

document.addEventListener("htmx:sendError", () => {
  toast("The server cannot be reached. Check the connection and try again.", {
    tone: "danger",
  });
});

document.addEventListener("htmx:timeout", () => {
  toast("The server took too long to answer.", { tone: "danger" });
});

// A view may send HX-Trigger: {"cg:toast": {"text": "...", "tone": "ok"}}.
document.addEventListener("cg:toast", (event) => {
  const { text = "", tone = "ok" } = event.detail || {};
  if (text) toast(text, { tone });
});

// Clicks, by attribute.
function toggleMenu(button) {
  const open = $("#side").classList.toggle("open");
  button.setAttribute("aria-expanded", String(open));
}

async function copyFrom(button) {
  const source = document.getElementById(button.dataset.copy);
  const label = $("[data-copy-text]", button);
  const text = "value" in source ? source.value : source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    if (label) label.textContent = "Copied";
    setTimeout(() => label && (label.textContent = "Copy"), 2000);
  } catch {
    // Plain HTTP has no clipboard: select the text, the user presses Ctrl+C.
    getSelection().selectAllChildren(source);
    toast("Press Ctrl+C to copy.", { tone: "info" });
  }
}

function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) dialog.showModal();
}

document.addEventListener("click", (event) => {
  const hit = (selector) => event.target.closest(selector);
  let node;
  if ((node = hit("[data-menu]"))) toggleMenu(node);
  else if (hit("[data-theme-switch]")) nextTheme();
  else if ((node = hit("[data-toast-close]"))) node.closest("[data-toast]").remove();
  else if ((node = hit("[data-dialog]"))) openDialog(node.dataset.dialog);
  else if ((node = hit("[data-close]"))) node.closest("dialog").close();
  else if ((node = hit("[data-copy]"))) copyFrom(node);
  else if (hit("[data-print]")) window.print();
});

// Typed confirmation: the button waits for the exact word.
function checkTyped(input) {
  const button = $("[data-typed-submit]", input.form);
  if (button) button.disabled = input.value.trim() !== input.dataset.typed;
}

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-typed]")) checkTyped(event.target);
});

// A part of a form that only some choices need: data-when names the field, data-is the
// values it needs, data-is-not those it is hidden with.
function showParts(scope) {
  for (const part of $$("[data-when]", scope)) {
    const field = part.closest("form").elements[part.dataset.when];
    const { is, isNot } = part.dataset;
    part.hidden = is
      ? !is.split(" ").includes(field?.value)
      : isNot.split(" ").includes(field?.value);
  }
}

// A file input with data-file-name shows what was chosen and its size.
document.addEventListener("change", (event) => {
  const input = event.target;
  if (input.form?.querySelector(`[data-when="${input.name}"]`)) showParts(input.form);
  if (input.matches("[data-file-name]")) showFiles(input);
  else if (input.matches("[data-autosubmit]")) input.form.requestSubmit();
});

function showFiles(input) {
  const target = document.getElementById(input.dataset.fileName);
  if (!target) return;
  const names = [...input.files].map((file) => `${file.name}, ${size(file.size)}`);
  target.dataset.empty ??= target.textContent;
  target.textContent = names.join("; ") || target.dataset.empty;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1048576) return `${(bytes / 1024).toFixed(0)} KB`;
  return `${(bytes / 1048576).toFixed(1)} MB`;
}

// Keyboard.
function isTyping(target) {
  return target.matches("input, select, textarea, [contenteditable]");
}

function moveRow(step) {
  const links = $$("main tbody tr").map((row) => $("[data-row-link], th a", row));
  const rows = links.filter((link) => link && link.offsetParent);
  if (!rows.length) return;
  const here = rows.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = here < 0 ? (step > 0 ? 0 : rows.length - 1) : here + step;
  rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
}

const KEYS = {
  "/": () => $("main [type=search]")?.focus(),
  "?": () => openDialog("shortcuts"),
  t: nextTheme,
  j: () => moveRow(1),
  k: () => moveRow(-1),
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!(target instanceof Element) || isTyping(target) || $("dialog[open]")) return;
  if (!Object.hasOwn(KEYS, key)) return;
  event.preventDefault();
  KEYS[key]();
});

// Relative times stay true while the page is open.
const UNITS = [[31536000, "y"], [86400, "d"], [3600, "h"], [60, "min"]];

function ago(seconds) {
  const distance = Math.abs(seconds);
  if (distance < 5) return "just now";
  const [divisor, unit] = UNITS.find(([limit]) => distance >= limit) || [1, "s"];
  const text = `${Math.floor(distance / divisor)}\u00a0${unit}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

function tickTimes() {
  for (const node of $$("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(node.dateTime)) / 1000;
    const text = ago(seconds);
    if (node.textContent !== text) node.textContent = text;
    const limit = Number(node.dataset.ago);
    if (limit) node.classList.toggle("stale", seconds > limit);
  }
}

function start(scope) {
  for (const input of $$("[data-typed]", scope)) checkTyped(input);
  showParts(scope);
}

document.addEventListener("htmx:load", (event) => start(event.target));
setInterval(tickTimes, 10000);
showTheme();
start(document);
$$("#toasts [data-toast]").forEach(watchToast);
// One dialog may ask to be open from the start, e.g. a new API key shown once.
$$("dialog[data-open]").forEach((dialog) => dialog.showModal());

// A long navigation scrolls by itself: show where we are.
$(".nav [aria-current=page]")?.scrollIntoView({ block: "nearest" });

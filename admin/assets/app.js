// What pages need beside htmx: copying, the reader's own time zone, and keyboard shortcuts. Without it all pages work.
"use strict";

// Copies a text, also on plain http, where browsers have no clipboard for pages.
async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by the browser: the second way may still work.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}

function selectBeside(button) {
  const text = button.parentElement.querySelector("code");
  if (text) getSelection().selectAllChildren(text);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const isCopied = await copyText(button.dataset.copy);
  if (!isCopied) selectBeside(button);
  const words = button.textContent;
  button.textContent = isCopied ? "Copied" : "Press Ctrl+C";
  setTimeout(() => { button.textContent = words; }, 2000);
});

// Closes an open menu when something else is clicked.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// Shows exact times in the reader's own time zone, and the buttons that need a script.
function prepare(root) {
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  for (const time of root.querySelectorAll('time[datetime]:not([title$=")"])')) {
    time.title = `${new Date(time.dateTime).toLocaleString()} (${time.title})`;
  }
}

// Live parts: a note beside one says when it is not followed.
function note(event, isFollowed) {
  const element = event.target.nextElementSibling;
  if (element?.matches(".live-note")) element.hidden = isFollowed;
}

for (const name of ["htmx:sse:error", "htmx:response:error", "htmx:error"]) {
  document.addEventListener(name, (event) => note(event, false));
}
document.addEventListener("htmx:sse:after:connection", (event) => note(event, true));
// The session has ended, or what the page shows is gone.
document.addEventListener("reload", () => location.reload());
document.addEventListener("htmx:sse:error", (event) => {
  if ([401, 403, 404].includes(event.detail.status)) location.reload();
});
// The title follows the heading, without its badge.
function retitle() {
  const texts = [...document.querySelector("h1").childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
  document.title = `${texts.map((node) => node.data).join("").trim()} · Gatepost`;
}

// A part that was replaced is as the server has rendered it.
document.addEventListener("htmx:after:swap", () => {
  prepare(document);
  retitle();
});

// The tail of changes: its oldest rows leave, and the ages of the others go on.
const MAX_TAIL_ROWS = 500;
const AGE_INTERVAL_MS = 10_000;
const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const tail = document.querySelector("[data-tail]");

function age(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? [];
  return size ? `${Math.floor(seconds / size)} ${unit} ago` : "now";
}

if (tail) {
  // The clock of this machine may be another than that of the server.
  const ahead = Date.now() - Date.parse(tail.dataset.tail);
  setInterval(() => {
    const now = Date.now() - ahead;
    for (const time of tail.querySelectorAll("time")) time.textContent = age((now - Date.parse(time.dateTime)) / 1000);
  }, AGE_INTERVAL_MS);
  const bar = document.getElementById("tail-bar");
  const [state, pause] = bar.children;
  // While the list is held still: what ends that.
  let paused;
  let resume;
  bar.hidden = false;
  pause.addEventListener("click", () => {
    if (resume) {
      resume();
      resume = undefined;
    } else {
      paused = new Promise((resolve) => { resume = resolve; });
    }
    pause.textContent = resume ? "Continue" : "Pause";
    state.textContent = resume ? "Paused." : "New changes appear on top.";
  });
  // The stream itself waits, so that the list goes on where it was, however long that takes.
  tail.addEventListener("htmx:sse:before:message", (event) => {
    if (!resume) return;
    state.textContent = "Paused. New changes wait.";
    event.detail.waitUntil(paused);
  });
  tail.addEventListener("htmx:after:swap", () => {
    for (const row of [...tail.querySelectorAll("tbody tr")].slice(MAX_TAIL_ROWS)) row.remove();
  });
}

const GO = { a: "/access-keys", c: "/changes", p: "/projects", s: "/search", w: "/gateways" };
let isGoing = false;

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
    return;
  }
  if (isTyping(event.target)) return;
  const path = isGoing ? GO[event.key] : undefined;
  isGoing = event.key === "g" && !isGoing;
  const link = path && document.querySelector(`nav.side a[href$="${path}"]`);
  const field = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (link) link.click();
  else if (field) {
    event.preventDefault();
    if (field.matches("a")) field.click();
    else field.focus();
  }
});

prepare(document);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) if (node.nodeType === 1) prepare(node);
  }
}).observe(document.body, { childList: true, subtree: true });

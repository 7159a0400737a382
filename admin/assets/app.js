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
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    time.dataset.local = "";
    time.title = `${new Date(time.dateTime).toLocaleString()} (${time.title})`;
  }
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
    field.focus();
  }
});

prepare(document);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) if (node.nodeType === 1) prepare(node);
  }
}).observe(document.body, { childList: true, subtree: true });

// What pages do in the browser beyond links and forms; everything but live updates works without it.
"use strict";

const root = document.documentElement;
root.classList.add("js");

// --- Colours (in the place where the Django admin keeps them too), and the person's time zone (smsdash/middleware.py reads the cookie) ---

function colours(choice) {
  if (choice === "light" || choice === "dark") root.dataset.theme = choice;
  else delete root.dataset.theme;
  for (const button of document.querySelectorAll("[data-colours]"))
    button.setAttribute("aria-pressed", String(button.dataset.colours === (choice || "auto")));
}
colours(localStorage.getItem("theme"));
document.addEventListener("DOMContentLoaded", () => colours(localStorage.getItem("theme")));

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) document.cookie = `timezone=${zone}; path=/; max-age=31536000; samesite=lax`;

// --- Clicks, told apart by data attributes ---

const clicks = {
  "[data-colours]": (button) => {
    localStorage.setItem("theme", button.dataset.colours);
    colours(button.dataset.colours);
  },
  "[data-copy]": async (button) => {
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
    say(button.dataset.copied || "✓");
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
  },
  "[data-select-all]": (box) => {
    for (const other of box.closest("table").querySelectorAll("tbody .select input")) other.checked = box.checked;
    count();
  },
};

document.addEventListener("click", (event) => {
  for (const [selector, act] of Object.entries(clicks)) {
    const target = event.target.closest(selector);
    if (target) act(target);
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  if (event.target.matches(".select input")) count();
});

function count() {
  const chosen = document.querySelectorAll("tbody .select input:checked").length;
  for (const place of document.querySelectorAll("[data-chosen]")) place.textContent = chosen;
}

// --- Keys: / goes to the search, Ctrl+Enter sends a form marked data-quick ---

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("main input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const form = event.target.closest("form[data-quick]");
    if (form) {
      event.preventDefault();
      form.requestSubmit();
    }
  }
});

// --- The chosen tab, where a narrow screen shows only some of them ---

function showTab() {
  for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
    const bar = tab.parentElement;
    const left = tab.getBoundingClientRect().left - bar.getBoundingClientRect().left + bar.scrollLeft;
    bar.scrollLeft = left - (bar.clientWidth - tab.offsetWidth) / 2;
  }
}
document.addEventListener("DOMContentLoaded", showTab);
document.addEventListener("htmx:afterSwap", showTab);

// --- Live pages. A poller is an element whose hx-trigger holds "every". ---

const say = (text) => {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
};
const polls = (element) => (element.getAttribute("hx-trigger") || "").includes("every");
const busy = (element) =>
  document.hidden ||
  document.querySelector("dialog[open], .dialog:popover-open") ||
  element.querySelector("tbody .select input:checked") ||
  (element.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), select, textarea"));
let rows = null;

document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  if (polls(elt) && !requestConfig.triggeringEvent && busy(elt)) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt } = event.detail.requestConfig;
  if (polls(elt) && busy(elt)) event.detail.shouldSwap = false; // it became so while the answer was on its way
  rows = polls(elt) ? new Set([...document.querySelectorAll("tr[id]")].map((row) => row.id)) : null;
});

document.addEventListener("htmx:afterSettle", () => {
  if (!rows || !rows.size) return;
  const fresh = [...document.querySelectorAll("tr[id]")].filter((row) => !rows.has(row.id));
  for (const row of fresh) row.classList.add("fresh");
  const place = document.getElementById("said");
  if (fresh.length && place) say(place.dataset.rows.replace("%n", fresh.length));
  rows = null;
});

function stale(is) {
  for (const dot of document.querySelectorAll(".live")) dot.classList.toggle("stale", is);
}
document.addEventListener("htmx:afterOnLoad", () => stale(false));
document.addEventListener("htmx:sendError", () => stale(true));
document.addEventListener("htmx:responseError", (event) => {
  stale(true);
  if (event.detail.xhr.status === 403) document.getElementById("signed-out")?.removeAttribute("hidden");
});

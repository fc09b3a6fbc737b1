// Keys of the inbox: j and k go down and up the conversations, r to the reply.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const step = { j: 1, k: -1 }[event.key];
  const rows = [...document.querySelectorAll("[data-row]")];
  if (step && rows.length) {
    const at = rows.indexOf(document.activeElement);
    rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))].focus();
  }
  const reply = event.key === "r" && document.querySelector("[data-key='r']");
  if (reply) {
    event.preventDefault();
    reply.focus();
  }
});

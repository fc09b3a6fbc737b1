// The compose form follows the chosen account, and shows the text as it arrives. All of it is checked on the server too.
"use strict";

/* Below any counted text: its fields are counted as they are typed. */
(function () {
  const words = document.getElementById("merged");
  const text = document.querySelector("textarea[data-counter]");
  if (!words || !text) return;
  const show = () => (words.hidden = !/\{\s*\p{L}[^{}\n]*\}/u.test(text.value.replace(/\{\{|\}\}/g, "")));
  text.addEventListener("input", show);
  window.addEventListener("pageshow", show);
})();

(function () {
  const form = document.getElementById("compose");
  if (!form) return;
  const abilities = JSON.parse(document.getElementById("abilities").textContent);
  const { account, sender, text, attachments, due } = form.elements;
  const part = (id) => document.getElementById(id);
  const FIELDS = /\{[^{}\n]*\}?/g;
  const FIELD = /\{\s*\p{L}[^{}\n]*\}/u;
  let asked = "";

  /* Shows a field where the account can use it; a hidden one is not sent. */
  function allow(field, box, can) {
    field.disabled = !can;
    if (box) box.hidden = !can;
  }

  function follow() {
    const can = abilities[account.value];
    if (!can) return;
    allow(sender, null, can.sender);
    sender.placeholder = can.sender ? can.usual : "";
    const words = part("no-sender");
    words.hidden = can.sender;
    words.textContent = words.dataset.text.replace("%kind", () => can.kind);
    allow(attachments, part("attachments"), can.mms);
    if (form.elements.finish_by) allow(form.elements.finish_by, part("finish"), can.route);
    part("warning").hidden = !can.warning;
    part("warning").querySelector("span").textContent = can.warning;
    followPhones();
    preview();
  }

  /* The list of phones is the account's own, and asked for only where some of them are to send. */
  function followPhones() {
    const { phones, random } = form.elements;
    if (!phones) return;
    const own = abilities[account.value].phones;
    allow(phones, part("phones"), own !== null);
    allow(random, part("random"), own !== null && phones.value !== "");
    for (const list of form.querySelectorAll("[data-phones]"))
      allow(list, list, phones.value === "some" && list.dataset.phones === String(own));
  }

  function preview() {
    const bubble = part("preview");
    bubble.textContent = text.value || bubble.dataset.empty;
    bubble.classList.toggle("muted", !text.value);
    const line = part("preview-sender");
    const name = sender.disabled ? "" : sender.value || sender.placeholder;
    line.textContent = name ? line.dataset.text.replace("%sender", () => name) : line.dataset.empty;
  }

  /* Lists and merge fields are looked over before they are sent. */
  function label() {
    const { now, later, look } = part("send").dataset;
    const looked = FIELD.test(text.value.replace(/\{\{|\}\}/g, "")) || form.querySelector("#lists :checked");
    part("send").textContent = looked ? look : due.value ? later : now;
  }

  /* Which fields there are, and who lacks them, is asked when the fields of the text change. */
  function fields() {
    const found = (text.value.match(FIELDS) || []).join("");
    if (found !== asked) part("found").dispatchEvent(new Event("fields"));
    asked = found;
  }

  /* Puts words where the cursor is. */
  function insert(words) {
    text.setRangeText(words, text.selectionStart, text.selectionEnd, "end");
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.focus();
  }

  function narrow(search) {
    const word = search.value.toLowerCase();
    for (const row of form.querySelectorAll("#lists .check"))
      row.hidden = !row.textContent.toLowerCase().includes(word) && !row.querySelector(":checked");
  }

  account.addEventListener("change", follow);
  form.elements.phones?.addEventListener("change", followPhones);
  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-narrow]")) return narrow(event.target);
    preview();
    label();
    if (event.target === text) fields();
  });
  form.addEventListener("click", ({ target }) => {
    const name = target.closest("[data-insert]")?.dataset.insert;
    if (name) insert(`{${name}}`);
  });
  part("template")?.addEventListener("change", ({ target }) => {
    const words = JSON.parse(part("texts").textContent)[target.value];
    if (words) insert(words);
    target.value = "";
  });
  window.addEventListener("pageshow", () => (follow(), label(), fields()));
  follow();
  label();
})();

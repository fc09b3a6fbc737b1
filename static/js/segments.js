/*
 * The counter under a message's text: parts, characters left, and what forces Unicode.
 * Does what messaging/segments.py does, from the same tables: `{% gsm_alphabet_attributes %}` (in `{% load segments %}`)
 * writes them on one element of the page. Every word a person reads comes from the template:
 *
 *   <textarea data-counter="#counter"></textarea>
 *   <div id="counter">
 *     <span data-count="parts" data-text="{n} parts" data-text-one="{n} part"></span>
 *     <span data-count="left" data-text="{n} left in this part"></span>
 *     <span data-count="encoding"></span>
 *     <p data-count="offending" data-text="These force Unicode: {list}" hidden>
 *       <span data-offending-list></span>
 *       <button type="button" data-replace-lookalikes>Replace them</button>
 *     </p>
 *   </div>
 *
 * data-count: parts, characters, left, units, encoding, offending. data-text is optional, and data-text-<category>
 * is its form for a plural category of the page's language (one, few, many, …).
 */
(function () {
  "use strict";

  const ESCAPE = "\u001b";
  const UNSEEN = /[\p{Z}\p{C}\p{M}]/u;
  let known;

  /* The server's tables, read once. */
  function tables() {
    if (known) return known;
    const holder = document.querySelector("[data-gsm-basic]");
    if (!holder) throw new Error("segments.js: no element carries {% gsm_alphabet_attributes %}.");
    const { gsmBasic, gsmExtension, gsmLookalikes, gsmNames, segmentLimits } = holder.dataset;
    known = {
      basic: new Set(JSON.parse(gsmBasic)),
      extension: new Set(JSON.parse(gsmExtension)),
      lookalikes: new Map(Object.entries(JSON.parse(gsmLookalikes))),
      names: new Map(Object.entries(JSON.parse(gsmNames))),
      limits: JSON.parse(segmentLimits),
    };
    return known;
  }

  /* The same values as the server's measure(); positions count characters, not UTF-16 units. */
  function measure(text) {
    const characters = Array.from(text);
    const offending = findOffending(characters);
    const encoding = offending.length ? "UCS-2" : "GSM-7";
    const units = offending.length ? text : escaped(characters);
    const [single, each] = tables().limits[encoding];
    const starts = units.length > single ? cuts(units, each) : [0];
    const room = starts.length > 1 ? each : single;
    return {
      encoding,
      parts: starts.length,
      units: units.length,
      left: room - (units.length - starts[starts.length - 1]),
      characters: characters.length,
      offending,
    };
  }

  function escaped(characters) {
    const { extension } = tables();
    return characters.map((character) => (extension.has(character) ? ESCAPE + character : character)).join("");
  }

  /* Where each part begins. A pair (escape and character, or two surrogates) stays together. */
  function cuts(units, each) {
    const starts = [0];
    for (let end = 0; units.length - end > each; ) {
      end += each - (/[\u001b\ud800-\udbff]/.test(units[end + each - 1]) ? 1 : 0);
      starts.push(end);
    }
    return starts;
  }

  function findOffending(characters) {
    const { basic, extension, lookalikes } = tables();
    const found = new Map();
    characters.forEach((character, position) => {
      if (basic.has(character) || extension.has(character)) return;
      if (!found.has(character)) found.set(character, []);
      found.get(character).push(position);
    });
    return Array.from(found, ([character, positions]) => ({
      character,
      positions,
      count: positions.length,
      replacement: lookalikes.get(character) ?? null,
      label: label(character),
    }));
  }

  function label(character) {
    if (!UNSEEN.test(character)) return character;
    const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    return tables().names.get(character) ?? `U+${code}`;
  }

  function replaceLookalikes(text) {
    const { lookalikes } = tables();
    return Array.from(text.normalize("NFC"), (character) => lookalikes.get(character) ?? character).join("");
  }

  /* An element's words around a value: its data-text for the value's plural category, or the value alone. */
  function words(element, name, value) {
    const category = typeof value === "number" ? pluralCategory(value) : "other";
    const key = `text${category[0].toUpperCase()}${category.slice(1)}`;
    const template = element.dataset[key] ?? element.dataset.text ?? `{${name}}`;
    return template.replace(`{${name}}`, () => value);
  }

  function pluralCategory(value) {
    return new Intl.PluralRules(document.documentElement.lang || "en").select(value);
  }

  function show(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function showOffending(line, text, offending) {
    const list = offending.map(({ label, count }) => (count > 1 ? `${label} ×${count}` : label)).join(", ");
    const target = line.querySelector("[data-offending-list]");
    if (target) show(target, words(line, "list", list));
    const button = line.querySelector("[data-replace-lookalikes]");
    if (button) button.hidden = replaceLookalikes(text) === text;
    line.hidden = offending.length === 0;
  }

  function update(field) {
    const counter = document.querySelector(field.dataset.counter);
    if (!counter) return;
    const found = measure(field.value);
    for (const element of counter.querySelectorAll("[data-count]")) {
      const name = element.dataset.count;
      if (name === "offending") showOffending(element, field.value, found.offending);
      else if (name in found) show(element, words(element, "n", found[name]));
    }
  }

  const isCounted = (element) => element.matches?.("textarea[data-counter]");
  const counted = () => Array.from(document.querySelectorAll("textarea[data-counter]"));
  const updateAll = () => counted().forEach(update);

  function replaceIn(button) {
    const field = counted().find((one) => document.querySelector(one.dataset.counter)?.contains(button));
    if (!field) return;
    field.value = replaceLookalikes(field.value);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  }

  document.addEventListener("input", (event) => {
    if (isCounted(event.target)) update(event.target);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-replace-lookalikes]");
    if (button) replaceIn(button);
  });
  document.addEventListener("reset", () => setTimeout(updateAll));
  document.addEventListener("htmx:load", updateAll);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", updateAll);
  else updateAll();

  window.smsdashSegments = { measure, replaceLookalikes };
})();

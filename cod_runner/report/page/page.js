"use strict";
// The page is whole without this. It adds: a hint above what is wider than the page, and the filters of the gallery.
// Texts of the run are only ever read as text: nothing here builds HTML.
(() => {
  const hints = new Map();

  function hintAt(box) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.setAttribute("aria-hidden", "true");
    hint.textContent = "Scroll sideways for more \u2192";
    box.before(hint);
    return hint;
  }

  function showHints() {
    for (const box of document.querySelectorAll(".scroll")) {
      const hidden = box.scrollWidth > box.clientWidth + 1;
      if (hidden && !hints.has(box)) hints.set(box, hintAt(box));
      if (hints.has(box)) hints.get(box).hidden = !hidden;
      box.tabIndex = hidden ? 0 : -1; // what does not scroll is no stop for the keyboard
    }
  }

  showHints();
  addEventListener("resize", showHints);
  document.addEventListener("toggle", showHints, true);
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not([open]):not(.unprinted)")) {
      each.open = true;
      each.dataset.closed = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const each of document.querySelectorAll("details[data-closed]")) {
      each.open = false;
      delete each.dataset.closed;
    }
  });

  const form = document.getElementById("filters");
  if (!form) return;
  const list = document.getElementById("pairs");
  const found = document.getElementById("found");
  const more = document.getElementById("more");
  const others = document.getElementById("other-pairs");
  const atOnce = Number(list.dataset.atOnce) || 12;
  let room = atOnce;

  if (others) {
    list.append(...others.querySelectorAll(".pair"));
    others.remove();
  }
  const pairs = [...list.children].map((element) => ({ element, texts: null }));

  // the original and the counterfactual, each as it reads, in lower case
  function textsOf(pair) {
    if (pair.texts === null) {
      const sides = ["", ""];
      for (const piece of pair.element.querySelector(".text").childNodes) {
        if (piece.nodeName !== "INS") sides[0] += piece.textContent;
        if (piece.nodeName !== "DEL") sides[1] += piece.textContent;
      }
      pair.texts = sides.map((side) => side.toLowerCase().replace(/\s+/g, " "));
    }
    return pair.texts;
  }

  function matches(pair) {
    const data = pair.element.dataset;
    for (const select of form.querySelectorAll("select")) {
      const places = (data[select.dataset.among] || "").split(" ");
      if (select.value !== "" && !places.includes(select.value)) return false;
    }
    for (const input of form.querySelectorAll("input[type=number]")) {
      const bound = input.valueAsNumber;
      if (Number.isNaN(bound)) continue;
      const value = Number.parseFloat(data[input.dataset.from || input.dataset.to]);
      if (input.dataset.from ? !(value >= bound) : !(value <= bound)) return false;
    }
    const wanted = form.elements.search.value.toLowerCase().trim().replace(/\s+/g, " ");
    return wanted === "" || textsOf(pair).some((text) => text.includes(wanted));
  }

  function show() {
    let count = 0;
    for (const pair of pairs) {
      const fits = matches(pair);
      pair.element.hidden = !fits || count >= room;
      if (fits) count += 1;
    }
    const shown = Math.min(count, room);
    found.textContent =
      count === 0 ? "No pair fits." : `${count} of ${pairs.length} pairs fit; ${shown === count ? "all" : "the first " + shown} are shown.`;
    more.hidden = count <= room;
    more.textContent = `Show ${Math.min(2 * atOnce, count - room)} more`;
  }

  function showAnew() {
    room = atOnce;
    show();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", showAnew);
  form.addEventListener("reset", () => setTimeout(showAnew));
  more.addEventListener("click", () => {
    const next = pairs.filter((pair) => pair.element.hidden && matches(pair))[0];
    room += 2 * atOnce;
    show();
    if (next) {
      next.element.tabIndex = -1;
      next.element.focus();
    }
  });
  form.hidden = false;
  show();
})();

// A field with a list to choose from, searched as one types: the ARIA pattern of a combobox with a listbox.

import { h } from "./dom.js";

const MOST = 200;

export class Combobox {
  constructor(input, { chosen, free = false }) {
    this.input = input;
    this.chosen = chosen;
    this.free = free;
    this.items = [];
    this.active = -1;
    this.list = h("ul", { id: `${input.id}-list`, role: "listbox", class: "options", tabindex: -1, hidden: true, "aria-label": input.getAttribute("aria-label") });
    for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": this.list.id, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" })) {
      input.setAttribute(name, value);
    }
    input.after(this.list);
    input.addEventListener("focus", () => this.open(""));
    input.addEventListener("click", () => this.open(""));
    input.addEventListener("input", () => this.open(input.value));
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => this.leave());
  }

  set(value) {
    this.value = value;
    this.input.value = value;
    this.fit();
  }

  // As wide as what it says, so that the question reads as a sentence.
  fit() {
    this.input.size = Math.max(4, this.input.value.length || this.input.placeholder.length);
  }

  open(text) {
    if (!text && this.list.hidden) this.input.select();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.items.filter(({ value, more, title }) => {
      const whole = `${value} ${title ?? ""} ${more ?? ""}`.toLowerCase();
      return words.every((word) => whole.includes(word));
    });
    this.found = found.slice(0, MOST);
    this.list.replaceChildren(
      ...this.found.map((item, place) =>
        h("li", { id: `${this.list.id}-${place}`, role: "option", "aria-selected": String(item.value === this.value), onmousedown: (event) => { event.preventDefault(); this.choose(item.value); } },
          h("span", {}, item.label ?? item.value), item.more ? h("small", {}, item.more) : null)),
      ...(found.length ? [] : [h("li", { class: "none" }, this.free ? "Enter takes it as typed" : "Nothing by that name")]));
    this.show(true);
    this.mark(text && found.length ? 0 : this.found.findIndex((item) => item.value === this.value));
  }

  show(open) {
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (!open) this.input.removeAttribute("aria-activedescendant");
  }

  mark(place) {
    this.list.querySelector(".active")?.classList.remove("active");
    this.active = place;
    const item = this.list.children[place];
    if (place < 0 || !item || !this.found[place]) return;
    item.classList.add("active");
    item.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", item.id);
  }

  key(event) {
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.open("");
      else this.mark(Math.min(this.found.length - 1, Math.max(0, this.active + (key === "ArrowDown" ? 1 : -1))));
    } else if (key === "Enter") {
      event.preventDefault();
      const item = this.list.hidden ? null : this.found[this.active];
      if (item) this.choose(item.value);
      else if (this.free) this.choose(this.input.value.trim());
    } else if (key === "Escape") {
      this.set(this.value);
      this.show(false);
    }
  }

  choose(value) {
    this.show(false);
    const changed = value !== this.value;
    this.set(value);
    if (changed) this.chosen(value);
  }

  leave() {
    const typed = this.input.value.trim();
    const exact = this.items.find((item) => item.value.toLowerCase() === typed.toLowerCase());
    if (exact || (this.free && typed !== this.value)) this.choose(exact ? exact.value : typed);
    else this.set(this.value);
    this.show(false);
  }
}

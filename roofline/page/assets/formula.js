// An operator in letters: its statement, its FLOPs and bytes, what each letter means.

import { h } from "./dom.js";

// MathML that was written by the server from a formula of its own, read as XML: nothing of it can run.
function math(text, words) {
  const found = new DOMParser().parseFromString(`<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">${text}</math>`, "application/xml");
  return found.querySelector("parsererror") ? h("code", {}, words) : document.importNode(found.documentElement, true);
}

export function typeset({ statements, formulas }) {
  const letters = Object.assign({}, ...formulas.map((each) => each.symbols));
  return [
    h("dl", { class: "formula" },
      h("dt", {}, "Statement"), h("dd", {}, statements.map((each) => h("div", {}, h("code", {}, each)))),
      formulas.flatMap((each) => [h("dt", {}, each.quantity === "flops" ? "FLOPs" : "Bytes"), h("dd", {}, math(each.mathml, each.expression))])),
    h("p", { class: "letters" }, "Of one execution. ", Object.entries(letters).flatMap(([letter, meaning], place) => [place ? "; " : "", h("b", {}, letter), ` ${meaning}`]), "."),
  ];
}

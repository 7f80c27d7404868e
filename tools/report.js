/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting and searching for the page of `tpd scan --html`; embedded, and named
 * in its policy by hash. Without it the tables are just as they are. */
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;

  const sort = (column) => {
    const head = heads[column];
    const down = head.getAttribute("aria-sort") === "ascending";
    const rows = Array.from(body.rows);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.sort((a, b) => compare(value(a, column), value(b, column)) * (down ? -1 : 1));
    body.append(...rows);
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });

  const tools = table.closest("section").querySelector(".tools");
  if (!tools) continue;
  const search = tools.querySelector("input");
  const verdict = tools.querySelector("select");
  const shown = tools.querySelector("output");
  const texts = new Map(Array.from(body.rows, (row) => [row, row.textContent.toLowerCase()]));

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const [row, text] of texts) {
      const fits = words.every((word) => text.includes(word)) && (!verdict.value || row.dataset.verdict === verdict.value);
      row.hidden = !fits;
      n += fits ? 1 : 0;
    }
    shown.textContent = n + " of " + texts.size;
  };

  for (const word of new Set(Array.from(body.rows, (row) => row.dataset.verdict).sort())) {
    verdict.append(new Option(word, word));
  }
  search.addEventListener("input", filter);
  verdict.addEventListener("change", filter);
  tools.hidden = false;
  filter();
}

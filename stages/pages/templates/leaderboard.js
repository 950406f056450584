(() => {
  const board = document.getElementById("board");
  const body = board.tBodies[0];
  const rows = [...body.rows];
  const values = JSON.parse(document.getElementById("sort-values").textContent);
  const said = document.querySelector(".said");

  function compare(one, other) {
    return typeof one === "number" ? one - other : one < other ? -1 : Number(one > other);
  }
  // Empty cells stay last in both directions; equal values keep their order by rank.
  function sortBy(column, descending) {
    const known = rows.map((row, place) => place).filter(place => values[column][place] !== null);
    const sign = descending ? -1 : 1;
    known.sort((one, other) => sign * compare(values[column][one], values[column][other]) || one - other);
    const empty = rows.map((row, place) => place).filter(place => values[column][place] === null);
    body.append(...[...known, ...empty].map(place => rows[place]));
  }
  [...board.tHead.querySelectorAll("button")].forEach((button, column) => button.addEventListener("click", () => {
    const head = button.parentElement;
    const descending = head.getAttribute("aria-sort") === "ascending";
    board.tHead.querySelectorAll("[aria-sort]").forEach(one => one.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sortBy(column, descending);
  }));

  // Without the clipboard, which a browser may deny, the command is shown and selected.
  function select(row) {
    row.querySelector("details").open = true;
    getSelection().selectAllChildren(row.querySelector("code"));
  }
  body.addEventListener("click", async event => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const row = button.closest("tr");
    try {
      await navigator.clipboard.writeText(row.querySelector("code").textContent);
      said.textContent = `Copied: ${row.querySelector("code").textContent}`;
    } catch {
      select(row);
      said.textContent = "The command is selected: copy it with Ctrl-C or Cmd-C.";
    }
  });
})();

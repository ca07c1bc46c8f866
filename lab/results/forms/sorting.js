// Sorts the verdict table by the column whose heading is pressed: by raw values, not by their texts. What is missing stands last
// either way round, and rows of equal value keep the report's order. The baseline's row stands in a body of its own and never moves.
{
  const live = document.querySelector(".live");

  const compare = (a, b) => {
    if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
    const numbers = [Number(a), Number(b)];
    return numbers.some(Number.isNaN) ? (a < b ? -1 : Number(a > b)) : numbers[0] - numbers[1];
  };

  const sortBy = (table, rows, index, descending) => {
    const raw = (row) => row.cells[index].dataset.raw;
    const sorted = rows.slice().sort((a, b) => {
      const missing = raw(a) === undefined || raw(b) === undefined;
      return compare(raw(a), raw(b)) * (descending && !missing ? -1 : 1);
    });
    table.tBodies[table.tBodies.length - 1].append(...sorted);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = [...table.tBodies[table.tBodies.length - 1].rows];
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        headings.forEach((each) => each.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", order);
        sortBy(table, rows, index, order === "descending");
        live.textContent = `Sorted by ${button.textContent}, ${order}`;
      });
    });
  }
}

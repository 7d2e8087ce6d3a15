// A heading of a table sorts by its column: first falling (the first column: as listed), then the other way.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const falling = column === 0 ? heading.ariaSort === "ascending" : heading.ariaSort !== "descending";
      const rows = [...table.tBodies[0].rows];
      const key = (row) => Number(row.cells[column].dataset.key);
      rows.sort((a, b) => (falling ? key(b) - key(a) : key(a) - key(b)));
      table.tBodies[0].append(...rows);
      for (const other of headings) {
        other.removeAttribute("aria-sort");
        other.querySelector(".arrow").textContent = "";
      }
      heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      heading.querySelector(".arrow").textContent = falling ? "↓" : "↑";
    });
  });
}

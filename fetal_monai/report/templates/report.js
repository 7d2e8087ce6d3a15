"use strict";
// A cell of the confusion matrix shows its images.
const store = document.getElementById("cells");
if (store) {
  const cells = JSON.parse(store.textContent);
  const panel = document.getElementById("cell-images");
  const make = (tag, text) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    return element;
  };
  for (const button of document.querySelectorAll(".cell")) {
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll('.cell[aria-pressed="true"]')) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", "true");
      const cell = cells[button.dataset.cell];
      const heading = make("h3", button.getAttribute("aria-label"));
      const pictures = make("div");
      pictures.className = "pictures";
      for (const image of cell.images) {
        const figure = make("figure");
        const picture = make("img");
        picture.src = image.src;
        picture.alt = `Ultrasound frame annotated as ${cell.true}, predicted as ${cell.predicted}`;
        figure.append(picture, make("figcaption", `${image.confidence}, ${image.name}`));
        pictures.append(figure);
      }
      panel.replaceChildren(heading, make("p", `The ${cell.images.length} most confident are shown.`), pictures);
      panel.scrollIntoView({ block: "nearest" });
    });
  }
}
// A heading of the class table sorts by its column: first falling (the class: as listed), then the other way.
const table = document.getElementById("class-table");
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

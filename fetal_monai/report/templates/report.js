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

// What spoke for an item's image is drawn beside it on demand.
for (const button of document.querySelectorAll(".why")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-expanded") === "true";
    document.getElementById(button.getAttribute("aria-controls")).hidden = shown;
    button.setAttribute("aria-expanded", String(!shown));
    button.querySelector(".verb").textContent = shown ? "Show" : "Hide";
  });
}

const percent = (number) => (number >= 100 ? ">99\u00a0%" : number < 1 ? "<1\u00a0%" : `${number}\u00a0%`);
// The row of the number that is nearest, in ascending ones.
const nearest = (numbers, wanted) => {
  let low = 0;
  let high = numbers.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (numbers[middle] > wanted) high = middle;
    else low = middle;
  }
  return wanted - numbers[low] <= numbers[high] - wanted ? low : high;
};
const make = (tag, text) => {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
};
const PAGE = 10;

// A clip: the slider stands on one of the classified frames, and the screen shows the nearest that has a picture.
const movers = [...document.querySelectorAll(".clip")].map((clip) => {
  const find = (selector) => clip.querySelector(selector);
  const steps = JSON.parse(find(".steps").textContent);
  const keys = [...clip.querySelectorAll("img[data-frame]")].map((image) => [Number(image.dataset.frame), image.src]);
  const pictures = [...steps.pictures, ...keys].sort((a, b) => a[0] - b[0]);
  const pictured = pictures.map((picture) => picture[0]);
  const slider = find(".slider");
  const screen = find(".screen");
  let now = 0;

  const show = (row) => {
    now = Math.min(Math.max(row, 0), steps.frames.length - 1);
    const frame = steps.frames[now];
    const time = steps.seconds ? `, ${steps.seconds[now].toFixed(2)}\u00a0s` : "";
    const position = `Frame ${frame}${time}`;
    const planes = steps.top[now].map((column, rank) => [steps.names[column], steps.percent[now][rank]]);
    const doubt = Number(steps.doubt[now]);
    const doubts = [doubt & 1 ? "not sure enough" : "", doubt & 2 ? "unlike the training images" : ""].filter(Boolean);
    find(".position").textContent = position;
    find(".top").replaceChildren(
      ...planes.map(([plane, share]) => {
        const entry = document.createElement("li");
        const bar = document.createElement("span");
        const filled = document.createElement("span");
        bar.className = "share";
        filled.style.width = `${share}%`;
        bar.append(filled);
        entry.append(make("span", plane), make("span", percent(share)), bar);
        return entry;
      }),
    );
    find(".now .doubt").textContent = doubts.length ? `The model is in doubt: ${doubts.join("; ")}.` : "";
    const cursor = find(".cursor");
    cursor.style.left = `${steps.places[now]}%`;
    slider.setAttribute("aria-valuenow", frame);
    const said = [position, ...planes.slice(0, 2).map((plane) => `${plane[0]} ${percent(plane[1])}`), ...doubts];
    slider.setAttribute("aria-valuetext", said.join("; "));
    if (pictures.length) {
      const [of, source] = pictures[nearest(pictured, frame)];
      const image = find(".screen img");
      if (image.src !== source) image.src = source;
      image.alt = `Frame ${of}`;
      screen.dataset.frame = of;
      find(".screen figcaption").textContent = of === frame ? `Picture of frame ${of}` : `Picture of frame ${of}, the nearest that this page holds`;
    }
  };

  const go = (event) => {
    const box = slider.getBoundingClientRect();
    show(nearest(steps.places, ((event.clientX - box.left) / box.width) * 100));
  };
  slider.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    slider.setPointerCapture(event.pointerId);
    go(event);
  });
  slider.addEventListener("pointermove", (event) => {
    if (slider.hasPointerCapture(event.pointerId)) go(event);
  });
  slider.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const row = {
      ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
      PageDown: now - PAGE, PageUp: now + PAGE, Home: 0, End: steps.frames.length - 1,
    }[event.key];
    if (row === undefined) return;
    event.preventDefault();
    show(row);
  });
  for (const part of clip.querySelectorAll(".now, .cursor")) part.hidden = false;
  screen.hidden = !pictures.length;
  const move = (frame) => show(nearest(steps.frames, frame));
  move(Number(clip.dataset.start));
  return { move, slider };
});
for (const link of document.querySelectorAll(".jump")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const { move, slider } = movers[Number(link.dataset.clip)];
    move(Number(link.dataset.frame));
    slider.closest(".clip").scrollIntoView({ block: "start" });
    slider.focus({ preventScroll: true });
  });
}

// The tables are brought up to date every ten seconds, but for one that has the focus: nothing moves under a finger.
const pause = document.querySelector("#pause");
const lost = document.querySelector("#lost");
const paused = () => pause.getAttribute("aria-pressed") === "true";
pause.hidden = false;
pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(!paused())));
async function refresh() {
  if (paused() || document.hidden) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of [document.querySelector("#at"), ...document.querySelectorAll("[data-live]")]) {
      const other = fresh.getElementById(part.id);
      if (!paused() && other && !part.contains(document.activeElement)) part.replaceChildren(...other.childNodes);
    }
    lost.textContent = "";
  } catch {
    lost.textContent = "The node does not answer: this is what it said last.";
  }
}
setInterval(refresh, 10000);

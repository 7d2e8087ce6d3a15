// The key frames of the clip in view: the server finds them in seconds, while labelling goes on.
"use strict";

const keys = { image: null, frames: [], asking: false };

// One clip at a time: who leafs through clips shall not set the server to work on all of them.
async function findKeyFrames() {
  if (keys.asking) return;
  keys.asking = true;
  while (isClip() && keys.image !== state.image) {
    const { image } = state;
    let [frames, remark] = [[], "none found"];
    try {
      frames = (await ask(`/labelling/key_frames?${query({ image })}`)).key_frames;
    } catch (error) { remark = `not found: ${error.message}`; }
    if (image === state.image) listKeyFrames(image, frames, frames.length ? "" : remark);
  }
  keys.asking = false;
}

function forgetKeyFrames() { listKeyFrames(null, [], "…"); }

function listKeyFrames(image, frames, remark) {
  Object.assign(keys, { image, frames });
  $("keys-remark").textContent = remark;
  $("keys-list").replaceChildren(...frames.map(({ frame, plane, confidence, first, last }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.frame = frame;
    button.textContent = `${plane} · frame ${frame + 1} · ${(100 * confidence).toFixed(0)} %`;
    button.title = `The best of frames ${first + 1} to ${last + 1}`;
    button.addEventListener("click", (event) => {
      step(frame);
      if (event.detail > 0) button.blur(); // by mouse: Enter and Space shall label again
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  markKeyFrames();
}

function markKeyFrames() {
  for (const button of $("keys-list").querySelectorAll("button")) {
    const frame = Number(button.dataset.frame);
    if (frame === state.frame) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    button.classList.toggle("labelled", state.labels.some((label) => label.frame === frame));
  }
}

function stepKeyFrame(direction) {
  const ahead = keys.frames.map((key) => key.frame).filter((frame) => direction * (frame - state.frame) > 0);
  if (ahead.length) step(direction > 0 ? Math.min(...ahead) : Math.max(...ahead));
}

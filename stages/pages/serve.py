"""The page that a server shows: a place to drop photos on, their names and scores, and where the network looked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from slimline.stages.pages.elements import document

STYLE = """
#drop { display: block; border: 2px dashed var(--line); border-radius: .8rem; padding: 2.5rem 1rem; }
#drop { text-align: center; }
#drop.over { background: var(--soft); } #drop:focus-within { outline: 3px solid Highlight; }
#pick { position: absolute; opacity: 0; width: 1px; height: 1px; }
.answer { display: flex; gap: 1.2rem; flex-wrap: wrap; margin-top: 1.2rem; border-top: 1px solid var(--line); }
.answer { padding-top: 1.2rem; }
.answer img { width: 14rem; max-width: 100%; border-radius: .5rem; object-fit: contain; }
.answer .said { flex: 1 1 16rem; } .answer h2 { margin: 0 0 .4rem; }
.bar { display: grid; grid-template-columns: 9rem 1fr 4rem; gap: .6rem; align-items: center; }
.bar meter { width: 100%; } .bar span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
button { font: inherit; padding: .3rem .8rem; }
"""

SCRIPT = """
const answers = document.getElementById("answers"), drop = document.getElementById("drop");
const pick = document.getElementById("pick"), most = MOST_BYTES;
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
async function ask(path, file) {
  if (file.size > most) throw new Error(`it has more than ${most / 1e6} MB`);
  const reply = await fetch(path, {method: "POST", body: file, headers: {"Content-Type": file.type || "image/jpeg"}});
  if (!reply.ok) throw new Error((await reply.json()).detail);
  return reply;
}
async function show(file) {
  const box = element("article", "", "answer"), picture = new Image(), said = element("div", "", "said");
  picture.src = URL.createObjectURL(file);
  picture.alt = file.name;
  said.append(element("h2", "…"), element("p", file.name));
  box.append(picture, said);
  answers.prepend(box);
  try {
    const answer = await (await ask("classify", file)).json();
    said.firstChild.textContent = answer.label ?? "unknown";
    for (const guess of answer.guesses) {
      const row = element("div", "", "bar"), meter = element("meter");
      meter.value = guess.score;
      meter.setAttribute("aria-label", guess.name);
      row.append(element("span", guess.name), meter, element("span", (100 * guess.score).toFixed(1) + "%"));
      said.append(row);
    }
    const look = element("button", "Where it looked");
    look.onclick = async () => {
      look.disabled = true;
      try {
        picture.src = URL.createObjectURL(await (await ask("explain", file)).blob());
        picture.alt = `${file.name}: bright is what ${answer.guesses[0].name} rests on`;
        look.remove();
      } catch (error) { look.textContent = error.message; }
    };
    said.append(look);
  } catch (error) {
    said.firstChild.textContent = "not classified";
    said.append(element("p", error.message));
  }
}
async function showAll(files) { for (const file of files) await show(file); }
pick.onchange = () => showAll([...pick.files]);
for (const kind of ["dragover", "dragenter"]) drop.addEventListener(kind, event => {
  event.preventDefault(); drop.classList.add("over");
});
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", event => { event.preventDefault(); showAll([...event.dataTransfer.files]); });
"""
MOST_SHOWN = 12


def serve_page(about: str, labels: Sequence[str], most_bytes: int) -> str:
    """Return the page, which asks its own server alone."""
    more = f" and {len(labels) - MOST_SHOWN:,} more" if len(labels) > MOST_SHOWN else ""
    parts = [
        f"<style>{STYLE}</style>",
        "<h1>What does it show?</h1>",
        f"<p>{escape(about)} tells apart: {escape(', '.join(labels[:MOST_SHOWN]))}{more}.</p>",
        '<label id="drop">Drop photos here, or choose some'
        '<input id="pick" type="file" accept="image/*" multiple></label>',
        '<section id="answers" aria-live="polite" aria-label="Answers"></section>',
        f"<script>{SCRIPT.replace('MOST_BYTES', json.dumps(most_bytes))}</script>",
    ]
    return document("Slimline", parts)

const answers = document.getElementById("answers"), drop = document.getElementById("drop");
const pick = document.getElementById("pick"), most = Number(drop.dataset.mostBytes);
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function percent(score) { return (100 * score).toFixed(1) + "%"; }
async function ask(path, file) {
  if (file.size > most) throw new Error(`the file is larger than ${most / 1e6} MB`);
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
    if (answer.label === null) {
      const [best] = answer.guesses, least = percent(answer.threshold);
      said.append(element("p", `best guess: ${best.name}, ${percent(best.score)}, below the threshold of ${least}`));
    }
    for (const guess of answer.guesses) {
      const row = element("div", "", "bar"), meter = element("meter");
      meter.value = guess.score;
      meter.setAttribute("aria-label", guess.name);
      row.append(element("span", guess.name), meter, element("span", percent(guess.score)));
      said.append(row);
    }
    const look = element("button", "Show occlusion map");
    look.onclick = async () => {
      look.disabled = true;
      try {
        picture.src = URL.createObjectURL(await (await ask("explain", file)).blob());
        picture.alt = `occlusion map of ${file.name}: bright where ${answer.guesses[0].name} depends on it`;
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

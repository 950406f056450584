{
  const shown = document.getElementById("cell"), cells = JSON.parse(document.getElementById("cells").textContent);
  document.querySelectorAll(".confusion button").forEach(button => button.addEventListener("click", () => {
    document.querySelectorAll(".confusion button[aria-pressed=true]").forEach(one => one.ariaPressed = "false");
    button.ariaPressed = "true";
    const cell = cells[button.dataset.cell], heading = document.createElement("h3");
    const list = document.createElement("ul");
    list.className = "pictures";
    heading.textContent = button.ariaLabel;
    for (const photo of cell.photos) {
      const item = document.createElement("li"), picture = new Image(), below = document.createElement("small");
      picture.src = photo.picture ?? document.querySelector(`img[data-photo="${CSS.escape(photo.key)}"]`).src;
      picture.alt = photo.name;
      const score = `${Math.round(100 * photo.score)}%`;
      below.textContent = `${photo.name} (${photo.unknown ? `unknown: ${score}, threshold ${photo.unknown}` : score})`;
      item.append(picture, document.createElement("br"), below);
      list.append(item);
    }
    shown.replaceChildren(heading, list);
    if (cell.more) shown.append(`and ${cell.more} more`);
  }));
}
